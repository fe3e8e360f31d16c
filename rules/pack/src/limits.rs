//! Limits of reading packs, beside those of `rt_config::limits`.

/// Findings that are shown. Beyond, they are counted: a person mends a few and checks again.
pub(crate) const FINDINGS_MAX: usize = 500;
/// Findings that get a search for similar names. Each search walks up to 16,384 tags and takes some 20 ms then.
pub(crate) const SUGGESTIONS_MAX: usize = 25;
/// Constants, and macros, of a pack. As many as tags: more would be a generated file that went wrong.
pub(crate) const NAMES_MAX: usize = 16_384;
/// Words in the `tags` of a rule. They are shown in lists and sent with every alert.
pub(crate) const RULE_WORDS_MAX: usize = 32;
/// One day, in nanoseconds. Longer delays, periods and deadlines are slips of the pen; and a day in nanoseconds leaves
/// room for sums without overflow.
pub(crate) const DURATION_NS_MAX: u64 = 86_400 * 1_000_000_000;
/// Time between two samples assumed for a device that is read continuously: a request and reply on a local network.
pub(crate) const CONTINUOUS_PERIOD_NS: u64 = 100_000;
/// Time between two samples assumed for an MQTT topic, whose publisher the pack does not know.
pub(crate) const MQTT_PERIOD_NS: u64 = 1_000_000;
/// Bytes of an MQTT client id. The standard obliges brokers to take 23 only; those in use take more.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 128;
/// Bytes of a JSON pointer or path.
pub(crate) const JSON_PATH_BYTES_MAX: usize = 512;
/// Longest back-off of an output: a stop that could not be written is tried again soon.
pub(crate) const OUTPUT_BACKOFF_NS_MAX: u64 = 200_000_000;
/// Samples of a window beyond twice the expected number: two reads of jitter and the sample that fell out last.
pub(crate) const WINDOW_RESERVE: u64 = 8;

const _: () = assert!(SUGGESTIONS_MAX <= FINDINGS_MAX);
