//! Analyzers in the real guard: what they derive and say stops machines, and so does everything that goes wrong in them.

use std::path::Path;
use std::process::{Command, Stdio};

use appliance_cli::build;
use appliance_cli::install::Unsigned;
use appliance_control::{AnalyzerStatus, EventBody, Reply, Request, State, Status};
use drivers_sim::image::Table;
use hil_tests::binaries;
use hil_tests::guard::{Guard, Site, wait_until};
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, wait_event, wait_tag};
use rules_bundle::{Bundle, Code, LinkPlan, Plan, SignaturePlan};
use rules_sdk_abi::metadata::Metadata;

/// The register that the analyzer looks at.
const SIGNAL: u16 = 1;
/// What it makes of its values.
const WELL: u16 = 50;
const DERIVES_MUCH: u16 = 150;
const SAYS_DANGER: u16 = 250;
const TRAPS: u16 = 350;
const LOOPS: u16 = 450;
const DERIVES_NAN: u16 = 550;
const TALKS_NONSENSE: u16 = 650;

/// From then on it derives something else, for ever.
const SPOILS: u16 = 113;

/// Derives twice its input below 200, and does what it says above. Once it saw [`SPOILS`], one part in a thousand more.
const WATCH: &str = r#"(module
  (global $factor (mut f64) (f64.const 2))
  (memory (export "memory") 1 1)
  (func (export "tl_area") (result i32) i32.const 1024)
  (func (export "tl_init") (result i32) i32.const 0)
  (func (export "tl_state_hash") (result i64) i64.const 0)
  (func (export "tl_process") (result i64) (local $value f64)
    (if (i32.gt_u (i32.load (i32.const 1096)) (i32.const 1)) (then (return (i64.const 0))))
    (local.set $value (f64.load (i32.const 1088)))
    (if (f64.eq (local.get $value) (f64.const 113)) (then (global.set $factor (f64.const 2.002))))
    (f64.store (i32.const 1104) (f64.mul (global.get $factor)
      (select (local.get $value) (f64.const 50) (f64.lt (local.get $value) (f64.const 200)))))
    (i32.store (i32.const 1112) (i32.const 0))
    (if (f64.ge (local.get $value) (f64.const 600)) (then (return (i64.const 77))))
    (if (f64.ge (local.get $value) (f64.const 500)) (then
      (f64.store (i32.const 1104) (f64.div (f64.const 0) (f64.const 0)))
      (return (i64.const 0))))
    (if (f64.ge (local.get $value) (f64.const 400)) (then (loop $for_ever (br $for_ever))))
    (if (f64.ge (local.get $value) (f64.const 300)) (then unreachable))
    (if (f64.ge (local.get $value) (f64.const 200)) (then (return (i64.const 0x102))))
    i64.const 0))"#;

const METADATA: &str = r#"{
  "abi": "core/1", "name": "watch", "version": 4,
  "inputs": [{ "name": "signal", "unit": "mm/s" }],
  "outputs": [{ "name": "twice", "unit": "mm/s", "min": 0, "max": 10000 }],
  "causes": ["too-much"],
  "worst_case": { "fuel": 1000, "remembers": { "calls": 2 } } }"#;

/// The stand with a second register, and an analyzer `watch` over it, of which `analyzer` is the rest.
fn setup(analyzer: &str) -> Setup {
    // No stop may hang on class background.
    let derived = if analyzer.contains("background") {
        "level: alert"
    } else {
        "level: danger, stops: [run], deadline: 60s"
    };
    let tag = format!(
        "  signal: {{ device: io, register: {{ table: holding, address: {SIGNAL} }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 500ms }}\n"
    );
    let rules = format!(
        "  - {{ id: derived, when: watch.twice > 250 mm/s, {derived}, message: derived }}\n\
         analyzers:\n  watch: {{ module: watch.wasm, inputs: {{ signal: signal }}, {analyzer} }}\n"
    );
    Setup {
        more: [tag, String::new(), rules],
        ..Setup::default()
    }
}

/// Enough fuel that only its deadline ends it.
const SAFETY: &str =
    "class: safety, fuel: 1000000000, deadline: 20ms, verdict: { stops: [run], deadline: 60s }";

/// The bundle of a pack that names the module, changed after it was made.
fn bundle(yaml: &str, change: impl FnOnce(&mut Plan)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wasm = wat::parse_str(WATCH).expect("the test's module");
    let metadata = Metadata::parse(METADATA.as_bytes()).expect("the test's metadata");
    let wasm = rules_sdk_gate::attach_metadata(&wasm, &metadata).expect("a module");
    std::fs::write(folder.path().join("watch.wasm"), wasm).expect("a file");
    let pack = folder.path().join("pack.yaml");
    let checked = build::check_bytes_with(&pack, yaml.as_bytes(), Unsigned::Allowed);
    let mut checked = checked.unwrap_or_else(|error| panic!("{error}\n{error:?}\n{yaml}"));
    checked.plan.vouched = rules_bundle::testing::vouched();
    let built = build::compile(checked, &rules_bundle::testing::key()).expect("it compiles");
    let Bundle {
        mut plan,
        lanes,
        modules,
        blocks,
        source,
        ..
    } = built.bundle;
    change(&mut plan);
    let code = Code {
        lanes: &lanes,
        modules: &modules,
        blocks: &blocks,
    };
    rules_bundle::seal(&plan, code, &source, &rules_bundle::testing::key())
        .expect("it can be sealed")
}

fn healthy() -> Device {
    let device = Device::default();
    device.show(HEALTHY);
    device.set(Table::HoldingRegister, SIGNAL, WELL);
    device
}

fn start_changed(analyzer: &str, change: impl FnOnce(&mut Plan)) -> Stand {
    let device = healthy();
    let bundle = bundle(&setup(analyzer).yaml(device.address()), change);
    let guard = Guard::start_with(&bundle, &["--allow-unsigned"]);
    Stand { guard, device }
}

fn armed(analyzer: &str) -> Stand {
    let stand = start_changed(analyzer, |_| ());
    stand.arm();
    stand
}

fn show(stand: &Stand, value: u16) {
    stand.device.set(Table::HoldingRegister, SIGNAL, value);
}

fn watch(status: &Status) -> AnalyzerStatus {
    let mut analyzers = status.lanes.iter().flat_map(|lane| &lane.analyzers);
    analyzers.next().expect("the analyzer").clone()
}

fn event(stand: &Stand, what: &str, found: impl Fn(&EventBody) -> bool) {
    wait_event(&stand.guard.socket(), what, found);
}

/// The cause of a fault that is told.
fn fault(stand: &Stand, wanted: &str) {
    event(stand, wanted, |body| {
        matches!(body, EventBody::AnalyzerFault { analyzer, cause, verdict }
            if analyzer == "watch" && cause == wanted && verdict == "danger")
    });
}

fn latched_by(stand: &Stand, wanted: &str) {
    event(
        stand,
        "latched",
        |body| matches!(body, EventBody::Latched { rule: Some(rule), .. } if rule == wanted),
    );
}

/// The rule of its verdict demanded a stop.
fn verdict_demanded(stand: &Stand) {
    event(stand, "the verdict's rule", |body| {
        matches!(body, EventBody::Rule { rule, state, cause, .. }
            if rule == "watch_danger" && state == "active" && cause == "condition")
    });
}

#[test]
fn what_it_says_stops_the_machine_and_so_does_what_a_rule_makes_of_its_values() {
    let stand = armed(SAFETY);
    let status = stand.guard.status();
    let before = watch(&status);
    assert_eq!(before.module, "watch");
    assert_eq!((before.version, before.class.as_str()), (4, "safety"));
    assert_eq!((before.signer, before.fault), (None, None));
    assert_eq!(before.verdict.as_deref(), Some("normal"));
    assert!(before.calls > 0 && before.fuel_p99.is_some() && before.time_max_ns.is_some());
    assert!(before.spares.is_some_and(|spares| spares > 0));
    let unsigned = |text: &str| text.contains("unsigned module watch");
    assert_eq!(status.state, State::Degraded);
    assert!(
        status.reasons.iter().any(|reason| unsigned(&reason.text)),
        "H-66: shown: {:?}",
        status.reasons
    );
    // Its value, by a rule.
    show(&stand, DERIVES_MUCH);
    stand.wait_stopped();
    latched_by(&stand, "derived");
    show(&stand, WELL);
    stand.arm();
    // Its verdict.
    show(&stand, SAYS_DANGER);
    stand.wait_stopped();
    latched_by(&stand, "watch_danger");
    event(&stand, "its words", |body| {
        matches!(body, EventBody::Analyzer { level, cause, .. }
            if level == "danger" && cause.as_deref() == Some("too-much"))
    });
    let after = watch(&stand.guard.status());
    assert_eq!(after.cause.as_deref(), Some("too-much"));
    assert_eq!(after.faults, 0);
    assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
    let Reply::Latency(latency) = stand.guard.ask(&Request::Latency {}) else {
        panic!("latencies were asked for");
    };
    let analyze = latency.stages.iter().find(|stage| stage.stage == "analyze");
    assert!(analyze.is_some_and(|stage| stage.distribution.count > 0));
}

#[test]
fn h35_h38_h39_whatever_goes_wrong_in_it_is_a_trip_and_a_spare_takes_over() {
    let stand = armed(SAFETY);
    for (value, words) in [
        (TRAPS, "trapped"),
        (DERIVES_NAN, "an output is not a finite number"),
        (TALKS_NONSENSE, "returned no verdict"),
        (LOOPS, "deadline exceeded"),
    ] {
        show(&stand, value);
        fault(&stand, words);
        stand.wait_stopped();
        verdict_demanded(&stand);
        let tag = wait_tag(&stand.guard, "watch.twice", |tag| tag.quality == "bad");
        assert_eq!(tag.cause.as_deref(), Some("the analyzer failed"), "H-38");
        show(&stand, WELL);
        event(
            &stand,
            "a spare",
            |body| matches!(body, EventBody::AnalyzerReplaced { analyzer, .. } if analyzer == "watch"),
        );
        // In place: its values are good again, and nothing stands against a reset.
        wait_tag(&stand.guard, "watch.twice", |tag| {
            tag.value.is_some_and(|value| (value - 100.0).abs() < 0.1)
        });
        stand.arm();
    }
    let status = stand.guard.status();
    let watch = watch(&status);
    assert!(watch.faults >= 4 && watch.replaced >= 4, "H-38: {watch:?}");
    assert_eq!(status.lane_allocations, 0, "I11: a trap included");
}

#[test]
fn h35_a_background_analyzer_that_hangs_delays_nothing_and_its_values_go_bad() {
    let stand = armed(
        "class: background, fuel: 10000000000, deadline: 400ms, on_failure: alarm, stale_after: 5s",
    );
    wait_tag(&stand.guard, "watch.twice", |tag| tag.value.is_some());
    let hung = |seen: usize| {
        let is_fault = |body: &EventBody| {
            matches!(body, EventBody::AnalyzerFault { cause, verdict, .. }
                if cause == "deadline exceeded" && verdict == "alert")
        };
        wait_until("it hangs and is ended, again and again", || {
            watch(&stand.guard.status()).replaced >= seen as u64
        });
        event(&stand, "its fault", is_fault);
    };
    show(&stand, LOOPS);
    hung(3);
    let tag = wait_tag(&stand.guard, "watch.twice", |tag| tag.quality == "bad");
    assert_eq!(tag.cause.as_deref(), Some("the analyzer failed"), "H-35");
    assert!(stand.device.coil(0), "what may take its time stops nothing");
    // While it hangs, the demand of a rule is met.
    stand.device.show(DANGER);
    stand.wait_stopped();
    let events = wait_event(&stand.guard.socket(), "a stop", |body| {
        matches!(body, EventBody::StopConfirmed { missed: false, .. })
    });
    let is_late = |body: &EventBody| matches!(body, EventBody::SelfCheck { check, .. } if check == "timing" || check == "watchdog");
    assert!(
        !events.iter().any(|event| is_late(&event.body)),
        "H-35: no deadline of the lane was missed"
    );
    let status = stand.guard.status();
    assert!(watch(&status).faults >= 3);
    assert_eq!(status.lane_allocations, 0, "I11");
}

fn with_canary(every: &str) -> String {
    format!(
        "{SAFETY}, canary: {{ every: {every}, inputs: {{ signal: {SAYS_DANGER} mm/s }}, within: {every} }}"
    )
}

#[test]
fn h40_a_canary_that_speaks_lets_the_machine_run_and_one_that_does_not_stops_it() {
    let stand = armed(&with_canary("2s"));
    assert_eq!(
        watch(&stand.guard.status()).canary.as_deref(),
        Some("alive")
    );
    drop(stand);
    // A stimulus at which the module has nothing to say.
    let stand = start_changed(&with_canary("1s"), |plan| {
        for device in &mut plan.lanes[0].devices {
            if let LinkPlan::Analyzer(analyzer) = &mut device.link
                && let Some(canary) = &mut analyzer.canary
            {
                canary.inputs = vec![f64::from(WELL)];
            }
        }
    });
    event(
        &stand,
        "the canary",
        |body| matches!(body, EventBody::Canary { missed: true, analyzer } if analyzer == "watch"),
    );
    wait_until("its values are bad", || {
        watch(&stand.guard.status()).fault.is_some()
    });
    let status = stand.guard.status();
    assert_eq!(watch(&status).canary.as_deref(), Some("missed"), "H-40");
    assert_eq!(watch(&status).verdict.as_deref(), Some("danger"), "H-40");
    assert!(!status.state.permits(), "H-40");
    assert!(matches!(
        stand.guard.reset(),
        appliance_control::Reset::Refused { .. }
    ));
}

/// The analyzer's comparisons, as the status says.
fn compared(stand: &Stand) -> Option<String> {
    watch(&stand.guard.status()).replay
}

fn is_replay(body: &EventBody, expected: &str) -> bool {
    matches!(body, EventBody::Replay { analyzer, result } if analyzer == "watch" && result == expected)
}

#[test]
fn h41_what_a_module_saw_once_and_answers_otherwise_since_is_an_alarm_and_a_new_instance_ends_it() {
    const REPLAY: &str = "replay: { every: 1s, within: 1s }";
    let background = "class: background, fuel: 1000000000, deadline: 20ms";
    for class in [SAFETY, background] {
        let stand = armed(&format!("{class}, {REPLAY}"));
        wait_until("the first comparison", || {
            compared(&stand).as_deref() == Some("agrees")
        });
        show(&stand, SPOILS);
        wait_tag(&stand.guard, "watch.twice", |tag| {
            tag.value.is_some_and(|value| value > f64::from(2 * SPOILS))
        });
        show(&stand, WELL);
        event(&stand, "the comparison", |body| is_replay(body, "differs"));
        let status = stand.guard.status();
        assert_eq!(watch(&status).replay.as_deref(), Some("differs"), "H-41");
        let told = "analyzer watch answers otherwise than a clean instance of it";
        assert!(status.degraded.iter().any(|lack| lack == told), "H-41");
        assert!(status.state.permits(), "H-41: an alarm, no trip");
        assert_eq!(watch(&status).fault, None, "what it says counts");
        if class == SAFETY {
            // A fault puts a spare into its seat, which has seen nothing.
            show(&stand, TALKS_NONSENSE);
            event(&stand, "the spare", |body| {
                matches!(body, EventBody::AnalyzerReplaced { .. })
            });
            show(&stand, WELL);
            event(&stand, "all is well", |body| is_replay(body, "agrees"));
        }
        assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
    }
}

#[test]
fn h41_a_comparison_that_finds_no_row_of_calls_in_time_is_told() {
    let stand = armed(&format!("{SAFETY}, replay: {{ every: 1s, within: 1s }}"));
    wait_until("the first comparison", || {
        compared(&stand).as_deref() == Some("agrees")
    });
    // Out of its range: bad, frame by frame.
    show(&stand, 2_000);
    event(&stand, "nothing to compare", |body| is_replay(body, "late"));
    show(&stand, WELL);
    event(&stand, "all is well", |body| is_replay(body, "agrees"));
}

#[test]
fn h66_modules_that_nobody_vouches_for_any_more_are_refused_unless_it_is_said() {
    let device = healthy();
    let yaml = setup(SAFETY).yaml(device.address());
    let signed = |expires| {
        move |plan: &mut Plan| {
            plan.modules[0].signature = Some(SignaturePlan {
                signer: "works".to_owned(),
                expires,
            });
        }
    };
    for (bundle, words) in [
        (bundle(&yaml, |_| ()), "unsigned module watch"),
        (
            bundle(&yaml, signed(Some(1))),
            "module watch: the signature of works has expired",
        ),
    ] {
        let site = Site::new(&bundle);
        let output = Command::new(binaries::guard())
            .args(site.args())
            .stdin(Stdio::null())
            .output()
            .expect("the guard starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "H-66: {said}");
        assert!(
            said.contains(words) && said.contains("--allow-unsigned"),
            "{said}"
        );
        assert!(!Path::new(&site.socket()).exists());
        assert_eq!(device.connections_taken(), 0, "no device was touched");
    }
    let bundle = bundle(&yaml, signed(None));
    let stand = Stand {
        guard: Guard::start_bundle(&bundle),
        device,
    };
    stand.arm();
    let status = stand.guard.status();
    assert_eq!(watch(&status).signer.as_deref(), Some("works"));
    let unsigned = |text: &str| text.contains("module watch");
    assert!(!status.degraded.iter().any(|text| unsigned(text)));
}
