/* RMS of a waveform block against a limit: alert on the first block above it, danger on the third in a row, quiet while
 * the machine stands. The same analyzer is written in Rust and in AssemblyScript beside this one, to the same bits. */
#define TL_PARAMS 2
#define TL_INPUTS 1
#define TL_OUTPUTS 1
#define TL_SAMPLES 4096
#define TL_SAMPLE float
#include "tripline_analyzer.h"

enum { SPEED = 0 };
enum { RMS = 0 };
/* Number of the cause, as verdicts count them. */
enum { RMS_HIGH = 1 };
/* Blocks above the limit, one after the other, that are danger. */
#define BLOCKS 3
/* Upper end of the output's range: beyond it, the value is doubtful. */
#define RMS_MAX 1000.0

static double limit, min_speed;
static uint64_t above;
static bool seen;
static double rms;

int32_t tl_init(void) {
    /* A limit of 0 would be a stop at every block. */
    if (tl_param(0) <= 0.0) {
        return tl_refused_param(0);
    }
    limit = tl_param(0);
    min_speed = tl_param(1);
    return 0;
}

int64_t tl_process(void) {
    bool doubt = false;
    uint32_t samples = tl_samples();
    if (samples > 0) {
        /* In this order, in double: so the other two languages do it, and the bits are the same. */
        double sum = 0.0;
        for (uint32_t i = 0; i < samples; i++) {
            double value = (double)tl_sample(i);
            sum += value * value;
        }
        rms = __builtin_sqrt(sum / (double)samples);
        seen = true;
        doubt = tl_flag(TL_GAP);
        above = rms > limit ? above + 1 : 0;
    }
    /* Without a usable speed the machine is taken to run. */
    if (tl_usable(SPEED) && tl_input(SPEED) < min_speed) {
        above = 0;
    }
    if (!seen) {
        tl_output(RMS, 0.0, TL_BAD);
    } else if (rms > RMS_MAX) {
        tl_output(RMS, RMS_MAX, TL_UNCERTAIN);
    } else {
        tl_output(RMS, rms, doubt ? TL_UNCERTAIN : TL_GOOD);
    }
    if (above == 0) {
        return TL_NORMAL;
    }
    return above < BLOCKS ? tl_alert(RMS_HIGH) : tl_danger(RMS_HIGH);
}

int64_t tl_state_hash(void) {
    uint64_t hash = TL_HASH_NEW;
    hash = tl_hash_f64(hash, limit);
    hash = tl_hash_f64(hash, min_speed);
    hash = tl_hash_u64(hash, above);
    hash = tl_hash_u64(hash, seen);
    hash = tl_hash_f64(hash, rms);
    return (int64_t)hash;
}
