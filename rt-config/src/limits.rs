//! Every limit of Tripline, with the reason for its value, and compile-time checks between limits.
//!
//! A loop, queue, table, retry or string that has no limit here has none, and that is a defect.

/// Tags a pack. A 16-bit index; 16,384 tags of 32 bytes stay inside a core's L2 cache.
pub const TAGS_MAX: usize = 16_384;
/// Rules a pack. At 100 ns a call, a tick in which all are due stays near one millisecond.
pub const RULES_MAX: usize = 10_000;
/// Outputs a pack. Each has its own pre-encoded stop and confirmation state.
pub const OUTPUTS_MAX: usize = 256;
/// Devices a pack. Each has its own connection, state machine and back-off.
pub const DEVICES_MAX: usize = 64;
/// Lanes a pack. One pinned core each; gateways have few.
pub const LANES_MAX: usize = 8;
/// Bytes of YAML a pack. The largest legal pack (all limits reached) takes about half of it.
pub const PACK_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of an identifier. Ids are printed in tables and used in MQTT topics.
pub const ID_BYTES_MAX: usize = 96;
/// Bytes of an expression after macros are expanded; keeps compile time and error messages bounded.
pub const EXPRESSION_BYTES_MAX: usize = 4_096;
/// Depth of nesting in an expression, which is also the native evaluator's stack depth.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Operations of one compiled expression; with at most 10 instructions each this bounds a rule's fuel.
pub const EXPRESSION_OPS_MAX: usize = 1_024;
/// Distinct windows (function, tag, span) a lane.
pub const WINDOWS_MAX: usize = 4_096;
/// Samples one window holds. A longer span at the tag's poll period is refused when the bundle is built.
pub const WINDOW_SAMPLES_MAX: usize = 4_096;
/// Distinct `stale_after` values of each device of a lane, summed over its devices; analyzers, each of which has one more, are not
/// counted: the lane looks at the oldest tag of each every tick.
pub const STALE_CLASSES_MAX: usize = 128;
/// Outputs that one rule may stop.
pub const RULE_STOPS_MAX: usize = 32;
/// Channels of one voting. M of N up to eight: more sensors on one quantity are not built.
pub const VOTING_CHANNELS_MAX: usize = 8;
/// Votings a lane.
pub const VOTINGS_MAX: usize = 1_024;
/// Samples that an m-of-n debounce looks at: the bits of one word.
pub const DEBOUNCE_SAMPLES_MAX: u8 = 32;
/// Compiled conditions a pack: rules of redundant channels have one a channel, twice with a setpoint multiplier.
pub const CONDITIONS_MAX: usize = 20_000;
/// Registers that arm or show one device's watchdog. The longest profile known needs four.
pub const WATCHDOG_REGISTERS_MAX: usize = 8;
/// Bypasses in force at a time, a lane. One a voting or rule; more than a few is a machine that should not run.
pub const BYPASSES_MAX: usize = 64;
/// Shortest time between press and release of a reset: shorter is contact bounce.
pub const RESET_HOLD_MIN_MS: u64 = 100;
/// Longest time between press and release of a reset: longer is a stuck button (H-54).
pub const RESET_HOLD_MAX_MS: u64 = 5_000;
/// Picoseconds a unit of fuel that reaction times are computed with, unless the pack says otherwise. Rules measured
/// 0.5 to 2 ns a unit; the worst of fuel-cheap operations is not in them.
pub const ASSUMED_FUEL_PS: u32 = 10_000;
/// Fuel that the copy of a byte of a block into an analyzer's memory is worth, in reaction times and where the price of fuel
/// is measured at start. Copy, check and conversion of 16,384 samples took 20 µs, 0.3 ns a byte as the module
/// sees it (`cargo bench -p appliance-sandbox --features compile --bench analyzers -- copy`); a unit of fuel takes 0.5 to 2 ns.
pub const COPY_FUEL_PER_BYTE: u64 = 1;
/// Fuel that a call of an analyzer is worth besides the module's own work and the copy of its block: the clock, the header, the
/// way in and out. A module that says at once that its machine stands still must not make the host look slow.
pub const CALL_FUEL: u64 = 256;
/// Microseconds a turn of the lane that reaction times are computed with: wake-up, scheduling, system calls of a host
/// that is not tuned.
pub const ASSUMED_TURN_US: u64 = 1_000;
/// A thread with real-time priority that does not spin sleeps for this long (microseconds) in every [`REST_EVERY_US`], input
/// or none: 5.6 % of its time, more than the 5 % beyond which Linux takes it off its core, for 50 ms at once. Inputs wait
/// that long, which is within the turn that reaction times are computed with.
pub const REST_US: u64 = 300;
/// See [`REST_US`]: as often as a rest is short against what is due in a lane.
pub const REST_EVERY_US: u64 = 5_000;
/// A shorter sleep leaves nobody time to do anything.
pub const NAP_US: u64 = 20;
/// Longest silence of a lane before the sentinel stops its outputs, unless its tightest deadline is shorter. Five times
/// what throttling of real-time threads takes at most, with room for a host that steals.
pub const WATCHDOG_LATEST_MAX_MS: u64 = 500;
/// The same at least, however tight the deadlines: throttling takes 50 ms of each second, a noisy host stole 16 ms at a time.
pub const WATCHDOG_LATEST_MIN_MS: u64 = 100;
/// Timer turns that may be missing at least: one that is late is jitter, which the lane itself judges.
pub const WATCHDOG_TURNS_MIN: u64 = 4;
/// Silence of the sentinel after which the main thread calls it lost and stops every output: a hundred of its periods.
pub const SENTINEL_LOST_MS: u64 = 100 * SENTINEL_PERIOD_MS;
/// Milliseconds that measuring the price of fuel may take at start, a lane: eight lanes stay within a fifth of a second.
pub const CALIBRATION_FUEL_MS: u64 = 12;
/// Wake-ups of a millisecond that are measured at start, a lane.
pub const CALIBRATION_WAKE_UPS: u32 = 11;
/// Measurements of a host that seems too slow, a lane, before it is refused: what keeps a host busy while it boots passes.
pub const CALIBRATION_ATTEMPTS: u32 = 6;
/// Milliseconds between two of them.
pub const CALIBRATION_PAUSE_MS: u64 = 250;
/// Ends of the guard without order that hold it, when they come within [`CRASH_LOOP_WINDOW_S`] (H-83).
pub const CRASH_LOOP_ENDS: usize = 3;
/// Seconds in which they count: a supervisor restarts within seconds, a person who looks takes minutes.
pub const CRASH_LOOP_WINDOW_S: u64 = 600;
/// Bytes of the file that keeps latches over a restart: every output latched, with the longest names, fits several times.
pub const STATE_BYTES_MAX: usize = 1024 * 1024;
/// Shortest time between two feeds of a watchdog outside the guard: as often as the main thread looks.
pub const OUTSIDE_FEED_MIN_MS: u64 = 100;
/// Longest: hardware watchdogs know seconds.
pub const OUTSIDE_FEED_MAX_MS: u64 = 1_000;
/// Time between two looks of the sentinel's own connection at its output: it is known to work, and costs a device one read
/// a second.
pub const SENTINEL_LOOK_MS: u64 = 1_000;
/// Stack of the sentinel's thread: as a lane's.
pub const SENTINEL_STACK_BYTES: usize = LANE_STACK_BYTES;
/// Time between two looks of the sentinel at its lanes: a tenth of the shortest window.
pub const SENTINEL_PERIOD_MS: u64 = 10;
/// Bytes of a rule's message or runbook link.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Foreign modules a pack. Their machine code is in the bundle: 32 of the largest fit its limit with the rules.
pub const MODULES_MAX: usize = 32;
/// Analyzers a pack. Each is a device of its lane and has a memory of its own for every instance.
pub const ANALYZERS_MAX: usize = 32;
/// Entries of each list of an analyzer: inputs, outputs, parameters, causes. As in its ABI.
pub const ANALYZER_ENTRIES_MAX: usize = 32;
/// Bytes of memory one instance of an analyzer has (16 pages, as in its ABI): 32 analyzers with two instances each stay
/// below the guard's bound.
pub const ANALYZER_MEMORY_BYTES_MAX: usize = 1024 * 1024;
/// Fuel of one call of an analyzer. At 1 ns a unit ten seconds: no background analyzer needs more for one block.
pub const ANALYZER_FUEL_MAX: u64 = 10_000_000_000;
/// Milliseconds of one call of an analyzer, at most. Beyond a minute a result is history.
pub const ANALYZER_DEADLINE_MAX_MS: u64 = 60_000;
/// Instances of an analyzer that wait to take over. They are made anew off the lane within milliseconds; four in a row that
/// fail before that are a broken module.
pub const ANALYZER_SPARES_MAX: u8 = 4;
/// Changes of an analyzer's verdict that a flap limit counts at most: their times are kept.
pub const ANALYZER_FLAPS_MAX: u8 = 64;
/// Milliseconds between two trials of a canary, at least: a trial costs as much as a frame.
pub const CANARY_EVERY_MIN_MS: u64 = 100;
/// Frames of one trial of a canary.
pub const CANARY_FRAMES_MAX: u16 = 256;
/// Calls of an analyzer that its answers may depend on, where they are to be compared with those of a clean instance (H-41): a
/// comparison makes so many calls on the thread that tries canaries and makes spares. As in its ABI.
pub const ANALYZER_REMEMBERS_MAX: u32 = 1_024;
/// Bytes in which those calls are kept, an analyzer: as much as two instances have, and with all of [`ANALYZERS_MAX`] 64 MiB.
/// Eight of the longest blocks, or 500 of 1,024 samples.
pub const ANALYZER_RECORD_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Milliseconds between two comparisons of an analyzer with a clean instance, at least: each makes an instance anew.
pub const REPLAY_EVERY_MIN_MS: u64 = 1_000;
/// Microseconds that the thread for canaries and spares works on comparisons, all of them together, between two looks for
/// canaries: one that is due waits for so long and for one call more.
pub const REPLAY_SLICE_US: u64 = 2_000;
/// Frames on their way to the analyzers of class background of a lane: behind that it is late, and the newest is dropped.
pub const BACKGROUND_JOBS: usize = 3;
/// Milliseconds between two looks for spares to be made and canaries to be tried: rare enough that an analyzer that fails in
/// each frame costs the process a hundred instances a second at most.
pub const ANALYZER_SERVICE_MS: u64 = 10;
/// Sources of blocks of samples, a pack.
pub const WAVEFORMS_MAX: usize = 32;
/// Samples of one block: a second and a quarter of 51.2 kHz, the fastest of vibration front ends. As in the analyzers' ABI.
pub const WAVEFORM_SAMPLES_MAX: u32 = 65_536;
/// Samples a second of a waveform. Above it is no machine's vibration.
pub const WAVEFORM_RATE_MAX_HZ: f64 = 10_000_000.0;
/// Buffers for the blocks of a device: one that is being received, one that waits, for each waveform.
pub const WAVEFORM_BUFFERS_EACH: usize = 2;
/// And these: one in the lane, and some that a busy background analyzer has not given back.
pub const WAVEFORM_BUFFERS_SPARE: usize = 3;
/// Bytes before the first sample in a payload that carries a block.
pub const WAVEFORM_HEADER_BYTES_MAX: u32 = 4_096;
/// Bytes of a payload that carries a block: the most samples, 4 bytes each, and a header.
pub const WAVEFORM_PAYLOAD_BYTES_MAX: usize = 65_536 * 4 + 4_096;

/// Bytes of guest memory a rule module may have. Slots of 16 bytes for every tag, window and age fit with room.
pub const RULE_MEMORY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of an analyzer's module. The largest of ours, an FFT with its tables, takes a tenth.
pub const ANALYZER_MODULE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of the code of one function: bounds what a compiler with quadratic passes is given at once (H-44). The largest of ours
/// has 22 KiB. Blocks as deep and locals as many as may be, over and over, take 5 s of processor time for so much.
pub const ANALYZER_FUNCTION_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the code of all functions: four of the worst, which then compile in seconds (H-44). The most of ours is 44 KiB; what
/// makes modules large is tables.
pub const ANALYZER_CODE_BYTES_MAX: usize = 256 * 1024;
/// Functions of an analyzer. At the same time the limit of its types and of its data segments.
pub const ANALYZER_FUNCTIONS_MAX: u32 = 4_096;
/// Locals of one function, its parameters included. A few bytes of code declare as many as they like, and each that is alive
/// is carried to the end of every block (H-44): with 400 of them and 400 blocks 45 KiB of code took half a minute and
/// became 11 MiB. Our functions have 74 at most.
pub const ANALYZER_LOCALS_MAX: u32 = 250;
/// Parameters, and results, of one function or block: each multiplies into every call site.
pub const ANALYZER_SIGNATURE_MAX: usize = 64;
/// Pages of 64 KiB that an analyzer's memory may have: a block of 65,536 samples of `f32` four times over.
pub const ANALYZER_PAGES_MAX: u64 = 16;
/// Elements of an analyzer's table of functions: indirect calls of a language's run time need tens.
pub const ANALYZER_TABLE_ELEMENTS_MAX: u64 = 1_024;
/// Globals of an analyzer. Linkers make three, languages some for each module.
pub const ANALYZER_GLOBALS_MAX: u32 = 1_024;
/// Targets of one `br_table`: a choice among so many kinds is a table of data in a program that is meant well. Ours have 8.
pub const ANALYZER_BRANCHES_MAX: u32 = 96;
/// Depth of nested blocks: a choice of so many targets is written as so many nested blocks. See [`ANALYZER_LOCALS_MAX`] for what it
/// multiplies with. Ours are 24 deep at most.
pub const ANALYZER_NESTING_MAX: u32 = 100;
/// Bytes of address space of the process that compiles a foreign module: the largest that the gate lets pass takes a quarter.
pub const COMPILE_MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
/// Seconds of processor time of the same: the largest takes a few on a gateway.
pub const COMPILE_CPU_S: u64 = 60;
/// Seconds it may take on a host that does other things as well.
pub const COMPILE_WALL_S: u64 = 180;
/// Bytes of the machine code of one module: sixteen times the largest module.
pub const COMPILE_ARTEFACT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Fuel of one division of floats. Every other operator of a rule but the square root costs 1. These dear ones are
/// priced by what they take (`appliance/sandbox/src/price.rs`), so that a unit of fuel is worth about the same everywhere.
pub const FUEL_F64_DIV: u8 = 8;
/// The same of single precision.
pub const FUEL_F32_DIV: u8 = 6;
/// Fuel of one square root.
pub const FUEL_F64_SQRT: u8 = 12;
/// The same of single precision.
pub const FUEL_F32_SQRT: u8 = 10;
/// Fuel of `tl_area` and `tl_init`, which run off the lane: tables of an FFT are computed there.
pub const ANALYZER_INIT_FUEL: u64 = 200_000_000;
/// Time of the same: what a start may wait for one instance.
pub const ANALYZER_INIT_MS: u64 = 2_000;
/// Microseconds between two ticks of the epoch, which ends an analyzer that overruns its deadline. A deadline may be overrun
/// by three of them: 6 % of 5 ms. 10,000 wake-ups a second take 2 to 3 % of one core that is not a lane's, in a guard
/// that has analyzers.
pub const EPOCH_TICK_US: u64 = 100;
/// Bytes of a sealed bundle. Ahead-of-time code of 10,000 rules is about 10 MiB.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of the key with which a host authenticates its bundles: as many as the tag has, so that neither is the weaker
/// one (RFC 2104, 3).
pub const BUNDLE_KEY_BYTES: usize = 32;

/// Registers one Modbus read may ask for (MODBUS Application Protocol V1.1b3, 6.3).
pub const MODBUS_REGISTERS_MAX: u16 = 125;
/// Coils or discrete inputs one Modbus read may ask for (6.1). Kept below the standard's 2,000 so that one frame
/// stays within [`FRAME_SAMPLES_MAX`].
pub const MODBUS_BITS_MAX: u16 = 512;
/// Registers that may lie unused between two tags read together, unless the pack says otherwise.
pub const MODBUS_GAP_DEFAULT: u16 = 16;
/// Read blocks a device.
pub const MODBUS_BLOCKS_MAX: usize = 1_024;
/// Bytes of a Modbus/TCP ADU: 7 bytes MBAP header and a PDU of at most 253 (Messaging on TCP/IP V1.0b, 4.1).
pub const MODBUS_ADU_BYTES_MAX: usize = 260;

/// Samples in one frame: what one read or one message may deliver together.
pub const FRAME_SAMPLES_MAX: usize = 512;
/// Samples in the queue from one driver to its lane: eight of the largest frames.
pub const QUEUE_SAMPLES: usize = 4_096;
/// Commands waiting for a lane (reset, trip, snapshot). An operator cannot be faster than a tick.
pub const LANE_COMMANDS: usize = 64;
/// Events waiting to be taken from a lane. A tick in which every rule changes state must fit.
pub const LANE_EVENTS: usize = 16_384;
/// Events the guard keeps for a desk that was away.
pub const GUARD_EVENTS_KEPT: usize = 16_384;

/// Bytes of one MQTT packet we accept. Larger ones are skipped without being stored, and counted.
pub const MQTT_PACKET_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one MQTT topic.
pub const MQTT_TOPIC_BYTES_MAX: usize = 512;
/// Bytes of a source's name in an envelope. With it a header has at most [`ENVELOPE_HEADER_BYTES_MAX`].
pub const ENVELOPE_SOURCE_BYTES_MAX: usize = 64;
/// Bytes of an envelope's header without its newline: `TLE1`, source, 10 digits of sequence, 20 of time, 64 of check.
pub const ENVELOPE_HEADER_BYTES_MAX: usize =
    4 + 1 + ENVELOPE_SOURCE_BYTES_MAX + 1 + 10 + 1 + 20 + 1 + 64;
/// Errors that an envelope's budget may tolerate. Their times are kept: 8 KiB a topic. A channel with more is broken.
pub const ENVELOPE_ERRORS_MAX: u16 = 1_000;
/// Bytes of a key for HMAC-SHA-256, at least: 128 bits of it cannot be guessed.
pub const ENVELOPE_KEY_BYTES_MIN: usize = 16;
/// Bytes of a key, at most. HMAC-SHA-256 hashes what exceeds 64; a file beyond 4 KiB is not a key.
pub const ENVELOPE_KEY_BYTES_MAX: usize = 2_048;
/// Alerts waiting for a broker. Kept in memory while the process lives; beyond, the desk says what it dropped.
pub const ALERT_OUTBOX_MAX: usize = 65_536;

/// Control connections at a time.
pub const CONTROL_CONNECTIONS_MAX: usize = 16;
/// Of those, connections of users without rights: whoever may only look must not lock operators out.
pub const CONTROL_CONNECTIONS_UNPRIVILEGED_MAX: usize = 8;
/// Bytes of `/etc/passwd` and `/etc/group` that the guard reads. A host with more users has a directory service.
pub const ACCOUNTS_BYTES_MAX: u64 = 1024 * 1024;
/// Hours that an alert may be shelved: a day, so that every shift hears of it again (ISA-18.2 wants a limit).
pub const SHELVE_HOURS_MAX: u64 = 24;
/// Minutes between two reminders of a bypass that is in force (H-55): soon enough that a shift cannot forget it.
pub const BYPASS_REMINDER_MINUTES: u64 = 15;
/// Bytes of one control request line.
pub const CONTROL_LINE_BYTES_MAX: usize = 4_096;

/// Milliseconds after the start when a guard's memory is taken for settled: every buffer has been used by then.
pub const MEMORY_SETTLE_MS: u64 = 10 * 60_000;
/// Milliseconds between two looks at it.
pub const MEMORY_LOOK_MS: u64 = 60_000;
/// Growth that is told, bytes: more than the events that are kept can take, a quarter of what the guard may have.
pub const MEMORY_GROWTH_BYTES: u64 = 16 * 1024 * 1024;
/// Memory a guard may reserve for its lanes, so that its resident size stays at most 64 MiB with 1,000 rules.
pub const LANE_STACK_BYTES: usize = 512 * 1024;

// Limits that lean on one another.
const _: () = assert!(TAGS_MAX <= u16::MAX as usize, "a TagId is 16 bits");
const _: () = assert!(
    QUEUE_SAMPLES >= 4 * FRAME_SAMPLES_MAX,
    "a queue must hold several of the largest frames"
);
const _: () = assert!(
    MODBUS_BITS_MAX as usize <= FRAME_SAMPLES_MAX,
    "one read is one frame"
);
const _: () = assert!(
    LANE_EVENTS >= RULES_MAX + OUTPUTS_MAX + DEVICES_MAX,
    "a tick in which everything changes must fit"
);
const _: () = assert!(
    GUARD_EVENTS_KEPT >= LANE_EVENTS,
    "what one tick produced must survive until it is read"
);
const _: () = assert!(
    (TAGS_MAX * 2 + WINDOWS_MAX) * 16 <= RULE_MEMORY_BYTES_MAX,
    "a slot each for value, age and window"
);
const _: () = assert!(ANALYZER_FUNCTION_BYTES_MAX <= ANALYZER_CODE_BYTES_MAX);
const _: () = assert!(ANALYZER_CODE_BYTES_MAX < ANALYZER_MODULE_BYTES_MAX);
const _: () = assert!(
    ANALYZER_BRANCHES_MAX < ANALYZER_NESTING_MAX,
    "each target of a branch is a block"
);
const _: () = assert!(RULE_STOPS_MAX <= OUTPUTS_MAX);
const _: () = assert!(
    BACKGROUND_JOBS <= WAVEFORM_BUFFERS_SPARE,
    "blocks that class background holds must leave each waveform its own buffers"
);
const _: () = assert!(ANALYZERS_MAX <= DEVICES_MAX, "an analyzer is a device");
const _: () = assert!(
    MODULES_MAX <= u16::MAX as usize && WAVEFORMS_MAX <= u16::MAX as usize,
    "their indices are 16 bits"
);
const _: () = assert!(
    WAVEFORM_PAYLOAD_BYTES_MAX
        >= WAVEFORM_SAMPLES_MAX as usize * 4 + WAVEFORM_HEADER_BYTES_MAX as usize,
    "the longest block fits its payload"
);
const _: () = assert!(CONDITIONS_MAX >= RULES_MAX && CONDITIONS_MAX <= u16::MAX as usize);
const _: () = assert!(CONTROL_CONNECTIONS_UNPRIVILEGED_MAX < CONTROL_CONNECTIONS_MAX);
const _: () = assert!(
    REST_US * 19 > REST_EVERY_US,
    "the kernel's own limit, 950 ms of a second, is never reached"
);
const _: () = assert!(REST_US * 2 < ASSUMED_TURN_US && NAP_US * 10 < REST_US);
const _: () = assert!(SENTINEL_PERIOD_MS * 10 <= WATCHDOG_LATEST_MIN_MS);
const _: () = assert!(WATCHDOG_LATEST_MIN_MS < WATCHDOG_LATEST_MAX_MS);
const _: () = assert!(RESET_HOLD_MIN_MS < RESET_HOLD_MAX_MS);
const _: () = assert!(MODBUS_ADU_BYTES_MAX == 7 + 253);
