/* Write a Tripline analyzer in C (C11, clang, wasm32, freestanding). docs/analyzer-sdk.md says how to start, and
 * docs/analyzer-abi.md what lies underneath.
 *
 * Say the counts of the metadata (analyzer.yaml), then include this file, in one source file only:
 *
 *     #define TL_PARAMS 1
 *     #define TL_INPUTS 0
 *     #define TL_OUTPUTS 1
 *     #define TL_SAMPLES 1024
 *     #define TL_SAMPLE float        // or int16_t; only with TL_SAMPLES
 *     #include "tripline_analyzer.h"
 *
 * and define the three functions that are declared as exports below. All memory is static: no allocator, no library. */
#ifndef TRIPLINE_ANALYZER_H
#define TRIPLINE_ANALYZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef TL_PARAMS
#define TL_PARAMS 0
#endif
#ifndef TL_INPUTS
#define TL_INPUTS 0
#endif
#ifndef TL_OUTPUTS
#error "TL_OUTPUTS: say how many derived values analyzer.yaml names"
#endif
#ifndef TL_SAMPLES
#define TL_SAMPLES 0
#endif
#ifndef TL_SAMPLE
#define TL_SAMPLE float
#endif
#if TL_INPUTS == 0 && TL_SAMPLES == 0
#error "TL_INPUTS, TL_SAMPLES: an analyzer needs something to look at"
#endif

#define TL_EXPORT(name) __attribute__((export_name(#name), used))

/* What the module must export. tl_area is made below; the others are the author's. */

/* 0, or tl_refused_param(n), or TL_REFUSED_COMBINATION: takes tl_param(0) to tl_param(TL_PARAMS - 1). */
TL_EXPORT(tl_init) int32_t tl_init(void);
/* Takes a frame, writes outputs, returns TL_NORMAL, tl_alert(cause) or tl_danger(cause). */
TL_EXPORT(tl_process) int64_t tl_process(void);
/* A hash of all that the next verdict depends on, made with tl_hash_u64 and tl_hash_f64 from TL_HASH_NEW. */
TL_EXPORT(tl_state_hash) int64_t tl_state_hash(void);

/* The exchange area. */

enum tl_quality { TL_GOOD = 0, TL_UNCERTAIN = 1, TL_BAD = 2, TL_STALE = 3 };
enum tl_flag { TL_RESTARTED = 1, TL_GAP = 2, TL_CANARY = 4 };

struct tl_header {
    uint32_t samples;     /* in the block; 0 when this call brings none */
    uint32_t flags;       /* enum tl_flag */
    uint64_t at_ns;       /* arrival, monotonic */
    uint64_t sequence;    /* of the block */
    double rate_hz;       /* samples a second */
    double scale, offset; /* value = raw x scale + offset; 1 and 0 for float */
    uint64_t reserved[2];
};

struct tl_slot {
    double value;
    uint32_t quality; /* enum tl_quality */
    uint32_t changed; /* of an input: 1 when it changed since the last call; of an output: 0 */
};

struct tl_area_layout {
    struct tl_header header;
#if TL_PARAMS > 0
    double params[TL_PARAMS];
#endif
#if TL_INPUTS > 0
    _Alignas(16) struct tl_slot inputs[TL_INPUTS];
#endif
    _Alignas(16) struct tl_slot outputs[TL_OUTPUTS];
#if TL_SAMPLES > 0
    _Alignas(16) TL_SAMPLE samples[TL_SAMPLES];
#endif
};

static _Alignas(16) struct tl_area_layout tl_exchange;

/* The layout that docs/analyzer-abi.md gives. */
#define TL_INPUTS_AT ((64 + 8 * TL_PARAMS + 15) / 16 * 16)
#define TL_OUTPUTS_AT (TL_INPUTS_AT + 16 * TL_INPUTS)
_Static_assert(sizeof(struct tl_header) == 64, "header");
_Static_assert(sizeof(struct tl_slot) == 16, "slot");
#if TL_INPUTS > 0
_Static_assert(offsetof(struct tl_area_layout, inputs) == TL_INPUTS_AT, "inputs");
#endif
_Static_assert(offsetof(struct tl_area_layout, outputs) == TL_OUTPUTS_AT, "outputs");
#if TL_SAMPLES > 0
_Static_assert(offsetof(struct tl_area_layout, samples) == TL_OUTPUTS_AT + 16 * TL_OUTPUTS, "samples");
_Static_assert(sizeof(TL_SAMPLE) == 4 || sizeof(TL_SAMPLE) == 2, "TL_SAMPLE is float or int16_t");
#endif

TL_EXPORT(tl_area) void *tl_area(void) {
    return &tl_exchange;
}

/* What came. */

#if TL_PARAMS > 0
static inline double tl_param(uint32_t number) {
    return tl_exchange.params[number];
}
#endif

static inline int32_t tl_refused_param(uint32_t number) {
    return (int32_t)number + 1;
}
#define TL_REFUSED_COMBINATION (-1)

static inline bool tl_flag(enum tl_flag flag) {
    return (tl_exchange.header.flags & (uint32_t)flag) != 0;
}

#if TL_INPUTS > 0
/* Whether the value of an input may be used. */
static inline bool tl_usable(uint32_t number) {
    return tl_exchange.inputs[number].quality <= TL_UNCERTAIN;
}

/* In the unit of the metadata; 0 when not usable. */
static inline double tl_input(uint32_t number) {
    return tl_exchange.inputs[number].value;
}
#endif

#if TL_SAMPLES > 0
/* Samples in the block; 0 when this call brings none. More than the area holds are none: nothing is read out of bounds. */
static inline uint32_t tl_samples(void) {
    uint32_t samples = tl_exchange.header.samples;
    return samples <= TL_SAMPLES ? samples : 0;
}

/* A sample, raw. */
static inline TL_SAMPLE tl_sample(uint32_t number) {
    return tl_exchange.samples[number];
}

/* The same in its unit. */
static inline double tl_value(uint32_t number) {
    return (double)tl_exchange.samples[number] * tl_exchange.header.scale + tl_exchange.header.offset;
}
#endif

/* What goes. An output that is not written is bad; good and uncertain ones must be finite and within the metadata's range. */

static inline void tl_output(uint32_t number, double value, enum tl_quality quality) {
    tl_exchange.outputs[number] = (struct tl_slot){.value = value, .quality = (uint32_t)quality};
}

#define TL_NORMAL ((int64_t)0)

/* cause: the number of an entry of the metadata's causes, from 1; 0 names none. */
static inline int64_t tl_alert(uint8_t cause) {
    return 1 | (int64_t)cause << 8;
}

static inline int64_t tl_danger(uint8_t cause) {
    return 2 | (int64_t)cause << 8;
}

/* State hash: FNV-1a, 64 bits, over the bytes given, little-endian. */

#define TL_HASH_NEW UINT64_C(0xcbf29ce484222325)

static inline uint64_t tl_hash_u64(uint64_t hash, uint64_t value) {
    for (int byte = 0; byte < 8; byte++) {
        hash = (hash ^ (value >> (8 * byte) & 0xff)) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static inline uint64_t tl_hash_f64(uint64_t hash, double value) {
    union {
        double value;
        uint64_t bits;
    } as = {.value = value};
    return tl_hash_u64(hash, as.bits);
}

#endif
