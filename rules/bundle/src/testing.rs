//! The smallest parts of a plan, to change a field of: `OutputPlan { port, ..testing::output("run", 0) }`. For tests and
//! simulators that need no pack; feature `testing`, which no product binary has.

use drivers_frame::{DeviceId, DurNs};
use rules_expr::ir::Program;

use crate::{
    Acquire, BundleKey, DevicePlan, HostAssumption, InputChecks, LanePlan, Level, LinkPlan,
    ModbusPlan, OutputPlan, OutputTarget, Plan, Reintegration, RulePlan, SignaturePlan,
    StopCategory, TagPlan, Vouched, Wait,
};

/// What the key of tests holds. No host has it: it is public.
pub const SECRET: [u8; 32] = [0x11; 32];

/// What tests seal and open bundles with.
pub fn key() -> BundleKey {
    BundleKey::new(SECRET, std::path::Path::new("(the key of tests)"))
}

/// A plan of one lane, without alerts.
pub fn plan(lane: LanePlan) -> Plan {
    Plan {
        name: "press".into(),
        version: "1".into(),
        description: String::new(),
        lanes: vec![lane],
        modules: vec![],
        blocks: vec![],
        alerts: None,
        vouched: vouched(),
    }
}

/// What makes a guard take the packs of tests without a flag.
pub fn vouched() -> Vouched {
    Vouched::By(SignaturePlan {
        signer: "tests".into(),
        expires: None,
    })
}

/// A lane that reads nothing and stops nothing: parks, ticks each millisecond, is scheduled like every other thread.
pub fn lane() -> LanePlan {
    LanePlan {
        name: "main".into(),
        cpu: None,
        priority: 0,
        wait: Wait::Park,
        acquire: Acquire::Inline,
        timer_period: DurNs::from_ms(1),
        devices: vec![],
        tags: vec![],
        waveforms: vec![],
        windows: vec![],
        ages: vec![],
        qualities: vec![],
        rules: vec![],
        votings: vec![],
        trip_groups: vec![],
        outputs: vec![],
        reset_button: None,
        assumed: HostAssumption::default(),
    }
}

/// A device on this host, polled without a pause, of which nothing is read yet.
pub fn modbus() -> ModbusPlan {
    ModbusPlan {
        host: "127.0.0.1".into(),
        port: 502,
        unit: 1,
        poll: None,
        timeout: DurNs::from_ms(50),
        connect_timeout: DurNs::from_ms(500),
        backoff_min: DurNs::from_ms(20),
        backoff_max: DurNs::from_ms(1_000),
        max_gap: 16,
        points: vec![],
    }
}

/// [`modbus`] with a name.
pub fn device(name: &str) -> DevicePlan {
    DevicePlan {
        name: name.into(),
        link: LinkPlan::Modbus(modbus()),
    }
}

/// A tag of the first device, without checks, good again at once.
pub fn tag(name: &str, unit: &str, stale_after: DurNs) -> TagPlan {
    TagPlan {
        name: name.into(),
        unit: unit.into(),
        device: DeviceId(0),
        stale_after,
        checks: InputChecks::default(),
        reintegration: Reintegration::After(DurNs::ZERO),
    }
}

/// A rule without delays: of level danger within 50 ms when it stops something, else an alert.
pub fn rule(id: &str, programs: Vec<Program>, stops: &[u16]) -> RulePlan {
    let alert = stops.is_empty();
    RulePlan {
        id: id.into(),
        when: id.into(),
        programs,
        raised: vec![],
        voting: None,
        on_delay: DurNs::ZERO,
        off_delay: DurNs::ZERO,
        debounce: None,
        multiplier: None,
        inhibit: None,
        bypass_at_most: None,
        process_safety_time: None,
        level: if alert { Level::Alert } else { Level::Danger },
        stops: stops.to_vec(),
        deadline: (!alert).then_some(DurNs::from_ms(50)),
        message: String::new(),
        tags: vec![],
        runbook: None,
    }
}

/// Coil 0, true runs; proved by its echo alone.
pub fn output(name: &str, group: u16) -> OutputPlan {
    OutputPlan {
        name: name.into(),
        host: "127.0.0.1".into(),
        port: 502,
        unit: 1,
        device: "io".into(),
        target: OutputTarget::Coil {
            address: 0,
            run: true,
        },
        refresh: DurNs::from_ms(100),
        confirm_within: DurNs::from_ms(50),
        connect_timeout: DurNs::from_ms(500),
        backoff_min: DurNs::from_ms(20),
        backoff_max: DurNs::from_ms(200),
        group,
        stop: StopCategory::Zero,
        read_back: None,
        feedback: None,
        escalate_to: None,
        watchdog: None,
        device_time: DurNs::ZERO,
    }
}
