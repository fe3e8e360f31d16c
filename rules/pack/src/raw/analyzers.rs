//! Waveforms and analyzers: blocks of samples, and the foreign modules that look at them.

use super::{Address, Envelope, Inhibit, LevelWord, Order, Register, Rule};
use crate::read::{List, Map, Req, choice, record};
use crate::scalar::{Duration, Expression, Int, Number, Quantity, Text};
use crate::yaml::Style;

choice! {
    /// How a device stores a sample.
    SampleWord {
        /// IEEE 754, four bytes or two registers.
        F32 = "f32",
        /// Signed, two bytes or one register.
        I16 = "i16",
    }
}

choice! {
    /// How a source stores its sequence number.
    SequenceWord {
        /// One byte.
        U8 = "u8",
        /// Two bytes, one register.
        U16 = "u16",
        /// Four bytes, two registers.
        U32 = "u32",
        /// Eight bytes.
        U64 = "u64",
    }
}

record! {
    /// A source of blocks of samples. Exactly one of `topic` and `register` says where it is.
    Waveform {
        /// The device that delivers it.
        device: Req<Text>,
        /// A topic of an MQTT broker, without wildcards: one binary message is one block.
        topic: Option<Text>,
        /// Quality of service of the subscription.
        #[schemars(extend("default" = 1))]
        qos: Option<Int<0, 1>>,
        /// First byte of the first sample in a message.
        #[schemars(extend("default" = 0))]
        first: Option<Int<0, 4_096>>,
        /// First register of a window of a Modbus device.
        register: Option<Register>,
        /// The number that counts up by 1 with each block. Required for Modbus; without it gaps between messages cannot be
        /// seen.
        sequence: Option<Sequence>,
        /// How a sample is stored.
        r#type: Req<SampleWord>,
        /// Order of the bytes: of a message's numbers (required there), or within a register.
        byte_order: Option<Order>,
        /// Order of the registers of a sample or sequence number that takes two. Required for those.
        word_order: Option<Order>,
        /// Samples a second.
        #[schemars(extend("examples" = ["12 kHz", "51200 Hz"]))]
        rate: Req<Quantity>,
        /// Samples of each block. A block of another length is refused.
        samples: Req<Int<1, 65_536>>,
        /// Unit of a sample.
        unit: Req<Text>,
        /// Factor from the stored number to the unit.
        #[schemars(extend("default" = 1))]
        scale: Option<Number>,
        /// Summand in the unit, added after `scale`.
        #[schemars(extend("default" = 0))]
        offset: Option<Number>,
        /// Age of the newest block at which the waveform is no longer trusted.
        stale_after: Req<Duration>,
        /// Longest time between two blocks; counts into the reaction time. Without it `stale_after` does.
        period: Option<Duration>,
        /// What the messages must be wrapped in. The places in the message then count within what is wrapped.
        envelope: Option<Envelope>,
    }
}

record! {
    /// A sequence number: `offset` in a message, `address` in a Modbus device.
    Sequence {
        /// First byte in a message; before the first sample.
        offset: Option<Int<0, 4_095>>,
        /// First register, in the table of the window.
        address: Option<Address>,
        /// How it is stored: u8 to u64 in a message, u16 to u64 in registers.
        r#type: Req<SequenceWord>,
    }
}

choice! {
    /// Where an analyzer runs.
    ClassWord {
        /// On the lane, within the tick; its time counts into every reaction time.
        Safety = "safety",
        /// Beside the lanes, with what is left.
        Background = "background",
    }
}

choice! {
    /// What a failed analyzer is taken to say.
    FailureWord {
        /// Danger.
        Trip = "trip",
        /// Alert.
        Alarm = "alarm",
    }
}

record! {
    /// A foreign module at work. Its outputs are tags: `NAME.OUTPUT`, and `NAME.verdict` (0 normal, 1 alert, 2 danger) and
    /// `NAME.cause`.
    Analyzer {
        /// The `.wasm` file, relative to the pack.
        module: Req<Text>,
        /// The module's inputs by its own names, and the tags that they read.
        inputs: Option<Map<Text>>,
        /// The waveform that it looks at. Required when the module takes one.
        waveform: Option<Text>,
        /// The module's parameters by its own names. Those without a default are required.
        params: Option<Map<Quantity>>,
        /// Where it runs. Has no default on purpose.
        class: Req<ClassWord>,
        /// Most fuel of one call. The author's worst case when absent.
        fuel: Option<Int<1, 10_000_000_000>>,
        /// Longest time of one call.
        deadline: Req<Duration>,
        /// Called so often. With each new block or value when absent.
        every: Option<Duration>,
        /// What it is taken to say in a frame in which it failed. `trip` for class safety, `alarm` for background when absent.
        on_failure: Option<FailureWord>,
        /// Instances that wait to take over.
        #[schemars(extend("default" = 1))]
        spares: Option<Int<0, 4>>,
        /// More changes of its verdict than this are a failure.
        flap: Option<Flap>,
        /// Age at which its outputs are no longer trusted. That of its slowest source, its period and its deadline when
        /// absent.
        stale_after: Option<Duration>,
        /// A stimulus that proves now and then that it would speak.
        canary: Option<Canary>,
        /// Its calls, given to a clean instance now and then. The module must state how much it remembers.
        replay: Option<Replay>,
        /// What its verdict causes. An alert that tells people when absent.
        verdict: Option<VerdictRule>,
    }
}

record! {
    /// How often a verdict may change.
    Flap {
        /// Changes of level within `within`; one more is a failure.
        changes: Req<Int<1, 64>>,
        /// The span in which they are counted.
        within: Req<Duration>,
    }
}

record! {
    /// A known-bad frame for a shadow instance.
    Canary {
        /// Time between two trials.
        every: Req<Duration>,
        /// The module's inputs by its own names, with units. All are required.
        inputs: Option<Map<Quantity>>,
        /// A file of samples, relative to the pack: little-endian, in the format and unit of the module's waveform. Required
        /// when the module takes one.
        block: Option<Text>,
        /// What the module must say at least.
        #[schemars(extend("default" = "danger"))]
        expect: Option<LevelWord>,
        /// How soon after the trial was due.
        within: Req<Duration>,
        /// How often the frame is given to the fresh shadow before its verdict counts.
        #[schemars(extend("default" = 1))]
        frames: Option<Int<1, 256>>,
    }
}

record! {
    /// A comparison with a clean instance.
    Replay {
        /// Time between two comparisons.
        every: Req<Duration>,
        /// How soon after it was due one must be over: the calls that the module remembers, and their replay.
        within: Req<Duration>,
    }
}

record! {
    /// What an analyzer's own verdict causes: keys as those of a rule.
    VerdictRule {
        /// Outputs that its danger stops. Without them danger is an alert too.
        stops: Option<List<Text>>,
        /// Promised time from cause to confirmed stop. Required with `stops`.
        deadline: Option<Duration>,
        /// From cause to harm. The response should stay within half of it (IEC 61511).
        process_safety_time: Option<Duration>,
        /// How long its danger must last. Counts into the reaction time.
        #[schemars(extend("default" = "0s"))]
        r#for: Option<Duration>,
        /// No trip while a tag is true, for a limited time (startup inhibit).
        inhibit: Option<Inhibit>,
        /// Longest bypass of its danger. None is allowed when absent.
        bypass: Option<Duration>,
        /// What people are told. The analyzer's name when absent.
        message: Option<Text>,
        /// Words to filter by.
        tags: Option<List<Text>>,
        /// Link to the procedure.
        runbook: Option<Text>,
    }
}

impl VerdictRule {
    /// The rule that an analyzer's verdict is: `stops` makes it a danger. Shown at `at`, the analyzer's name.
    pub(crate) fn rule(
        this: Option<&Self>,
        name: &str,
        level: LevelWord,
        at: &crate::read::Span,
    ) -> Rule {
        let text = |value: String| Text {
            value,
            span: at.clone(),
        };
        let (word, least) = match level {
            LevelWord::Alert => ("alert", 1),
            LevelWord::Danger => ("danger", 2),
        };
        let mut rule = Rule::default();
        rule.id = Req::of(text(format!("{}_{word}", name.replace('.', "_"))));
        rule.when = Req::of(Expression {
            text: format!("{name}.verdict >= {least}"),
            // Written nowhere, so no part of it is looked for in the file.
            style: Style::Block,
            span: at.clone(),
        });
        rule.level = Req::of(level);
        rule.at = at.clone();
        let what = match level {
            LevelWord::Alert => "says alert",
            LevelWord::Danger => "says danger",
        };
        rule.message = Some(text(format!("{name} {what}")));
        let Some(this) = this else { return rule };
        if this.message.is_some() {
            rule.message.clone_from(&this.message);
        }
        rule.tags.clone_from(&this.tags);
        rule.runbook.clone_from(&this.runbook);
        if level == LevelWord::Danger {
            rule.stops.clone_from(&this.stops);
            rule.deadline.clone_from(&this.deadline);
            rule.process_safety_time
                .clone_from(&this.process_safety_time);
            rule.r#for.clone_from(&this.r#for);
            rule.inhibit.clone_from(&this.inhibit);
            rule.bypass.clone_from(&this.bypass);
        }
        rule
    }
}
