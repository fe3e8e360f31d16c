//! Verification of a decoded plan: every index in range, every limit kept. A plan loads whole or not at all.

mod analyzers;

use rt_config::limits;

use crate::plan::{
    ExtractPlan, LanePlan, Level, LinkPlan, OutputPlan, Plan, StopCategory, TagPlan,
};

/// Why a plan is refused. Plans come from `tripline build`, so this means a damaged or foreign bundle, or a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More of something than the limits allow.
    #[error("{what}: {count}, at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// An index that points nowhere.
    #[error("lane {lane}: {what} points to index {index}, but there are only {len}")]
    Dangling {
        /// The lane.
        lane: String,
        /// Which reference.
        what: String,
        /// The index.
        index: usize,
        /// Length of the table.
        len: usize,
    },
    /// A compiled expression that breaks its own rules.
    #[error("lane {lane}: the compiled condition of rule {rule} is not valid: {cause}")]
    Program {
        /// The lane.
        lane: String,
        /// The rule.
        rule: String,
        /// What the expression checker said.
        cause: String,
    },
    /// A value that no checked pack produces.
    #[error("lane {lane}: {what}")]
    Value {
        /// The lane.
        lane: String,
        /// What is wrong.
        what: String,
    },
    /// A module that no compiler lets pass.
    #[error("module {module}: {what}")]
    Module {
        /// Its name.
        module: String,
        /// What is wrong.
        what: String,
    },
    /// No lane at all.
    #[error("the plan has no lane")]
    Empty,
}

impl Plan {
    /// Checks limits, indices and compiled expressions.
    ///
    /// # Errors
    /// The first [`PlanError`] found.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.lanes.is_empty() {
            return Err(PlanError::Empty);
        }
        at_most("lanes", self.lanes.len(), limits::LANES_MAX)?;
        let total = |count: fn(&LanePlan) -> usize| self.lanes.iter().map(count).sum::<usize>();
        at_most("tags", total(|lane| lane.tags.len()), limits::TAGS_MAX)?;
        at_most("rules", total(|lane| lane.rules.len()), limits::RULES_MAX)?;
        at_most(
            "outputs",
            total(|lane| lane.outputs.len()),
            limits::OUTPUTS_MAX,
        )?;
        at_most(
            "devices",
            total(|lane| lane.devices.len()),
            limits::DEVICES_MAX,
        )?;
        analyzers::check_modules(self)?;
        self.lanes
            .iter()
            .try_for_each(|lane| check_lane(self, lane))
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), PlanError> {
    if count > max {
        return Err(PlanError::TooMany { what, count, max });
    }
    Ok(())
}

/// Looks references up and names the lane when one dangles.
struct Lookup<'a> {
    lane: &'a LanePlan,
}

impl Lookup<'_> {
    fn index(
        &self,
        what: impl FnOnce() -> String,
        index: usize,
        len: usize,
    ) -> Result<(), PlanError> {
        if index < len {
            return Ok(());
        }
        Err(PlanError::Dangling {
            lane: self.lane.name.clone(),
            what: what(),
            index,
            len,
        })
    }

    fn value(&self, valid: bool, what: impl FnOnce() -> String) -> Result<(), PlanError> {
        if valid {
            return Ok(());
        }
        Err(PlanError::Value {
            lane: self.lane.name.clone(),
            what: what(),
        })
    }
}

fn check_lane(plan: &Plan, lane: &LanePlan) -> Result<(), PlanError> {
    let look = Lookup { lane };
    let tags = lane.tags.len();
    at_most("windows", lane.windows.len(), limits::WINDOWS_MAX)?;
    look.value(lane.timer_period.as_ns() > 0, || {
        "the timer period is zero".into()
    })?;
    look.value(lane.priority < 50, || {
        format!("priority {} is not below 50", lane.priority)
    })?;
    for tag in &lane.tags {
        look.index(
            || format!("the device of tag {}", tag.name),
            usize::from(tag.device.0),
            lane.devices.len(),
        )?;
        look.value(tag.stale_after.as_ns() > 0, || {
            format!("tag {} is always stale: its stale_after is zero", tag.name)
        })?;
        look.value(checks_are_sane(tag), || {
            format!("a check of tag {} cannot be", tag.name)
        })?;
    }
    look.value(lane.assumed.fuel_ps > 0, || {
        "a host that evaluates in no time at all is assumed".into()
    })?;
    for window in &lane.windows {
        look.index(|| "a window".into(), usize::from(window.tag.0), tags)?;
        at_most(
            "samples in a window",
            usize::try_from(window.capacity).unwrap_or(usize::MAX),
            limits::WINDOW_SAMPLES_MAX,
        )?;
        look.value(window.capacity > 0, || "a window holds no sample".into())?;
    }
    for tag in lane.ages.iter().chain(&lane.qualities) {
        look.index(|| "an age() or quality()".into(), usize::from(tag.0), tags)?;
    }
    for device in &lane.devices {
        check_device(&look, device.name.as_str(), &device.link, tags)?;
    }
    analyzers::check_waveforms(&look)?;
    for (index, name, analyzer) in lane.analyzers() {
        analyzers::check_analyzer(&look, plan, index, name, analyzer)?;
    }
    check_votings(&look)?;
    check_rules(&look)?;
    check_outputs(&look)?;
    if let Some(button) = lane.reset_button {
        look.index(
            || "the reset button".into(),
            usize::from(button.tag.0),
            tags,
        )?;
    }
    Ok(())
}

/// Thresholds that no value can pass, or all can, check nothing.
fn checks_are_sane(tag: &TagPlan) -> bool {
    let rate = tag.checks.rate;
    let frozen = tag.checks.frozen;
    rate.is_none_or(|rate| rate.per_second.is_finite() && rate.per_second > 0.0)
        && frozen.is_none_or(|frozen| {
            frozen.noise.is_finite() && frozen.noise >= 0.0 && frozen.lasting.as_ns() > 0
        })
}

fn check_votings(look: &Lookup<'_>) -> Result<(), PlanError> {
    let lane = look.lane;
    at_most("votings", lane.votings.len(), limits::VOTINGS_MAX)?;
    at_most(
        "compiled conditions",
        lane.programs().count(),
        limits::CONDITIONS_MAX,
    )?;
    for voting in &lane.votings {
        at_most(
            "channels of a voting",
            voting.channels.len(),
            limits::VOTING_CHANNELS_MAX,
        )?;
        for tag in &voting.channels {
            look.index(
                || format!("a channel of voting {}", voting.name),
                usize::from(tag.0),
                lane.tags.len(),
            )?;
        }
        look.value(
            voting.channels.len() >= 2
                && voting.need > 0
                && usize::from(voting.need) <= voting.channels.len(),
            || {
                format!(
                    "voting {} cannot be {}oo{}",
                    voting.name,
                    voting.need,
                    voting.channels.len()
                )
            },
        )?;
        let twice = voting
            .channels
            .iter()
            .enumerate()
            .any(|(at, tag)| voting.channels.iter().take(at).any(|other| other == tag));
        look.value(!twice, || {
            format!("voting {} counts one channel twice", voting.name)
        })?;
        look.value(
            voting.deviation.is_none_or(|deviation| {
                deviation.bad.is_finite()
                    && deviation.bad > 0.0
                    && deviation
                        .alert
                        .is_none_or(|alert| alert > 0.0 && alert < deviation.bad)
            }),
            || format!("the deviation of voting {} cannot be", voting.name),
        )?;
    }
    Ok(())
}

fn check_outputs(look: &Lookup<'_>) -> Result<(), PlanError> {
    let lane = look.lane;
    let outputs = lane.outputs.len();
    at_most("trip groups", lane.trip_groups.len(), limits::OUTPUTS_MAX)?;
    for output in &lane.outputs {
        let name = output.name.as_str();
        look.value(
            output.refresh.as_ns() > 0 && output.confirm_within.as_ns() > 0,
            || format!("output {name} has no refresh period or no confirmation time"),
        )?;
        look.index(
            || format!("the trip group of output {name}"),
            usize::from(output.group),
            lane.trip_groups.len(),
        )?;
        let others = output.escalate_to.into_iter().chain(match output.stop {
            StopCategory::Zero => None,
            StopCategory::One { controlled_by, .. } => Some(controlled_by),
        });
        for other in others {
            look.index(
                || format!("an output that {name} leans on"),
                usize::from(other),
                outputs,
            )?;
        }
        if let StopCategory::One { controlled_by, .. } = output.stop {
            let other = lane.outputs.get(usize::from(controlled_by));
            look.value(
                other.is_some_and(|other| {
                    other.group == output.group && other.stop == StopCategory::Zero
                }),
                || format!("the controlled stop of output {name} is not category 0 of its group"),
            )?;
        }
        look.value(!escalates_to_itself(lane, output), || {
            format!("the escalation of output {name} leads back to it")
        })?;
        if let Some(feedback) = output.feedback {
            look.index(
                || format!("the feedback of output {name}"),
                usize::from(feedback.tag.0),
                lane.tags.len(),
            )?;
        }
        if let Some(watchdog) = &output.watchdog {
            at_most(
                "registers of a watchdog",
                watchdog.arm.len().max(watchdog.expect.len()),
                limits::WATCHDOG_REGISTERS_MAX,
            )?;
        }
    }
    Ok(())
}

/// Whether the way from an output to those it escalates to comes back to one of them.
fn escalates_to_itself(lane: &LanePlan, output: &OutputPlan) -> bool {
    let mut next = output.escalate_to;
    // A way without a circle ends before it has passed every output.
    for _ in 0..lane.outputs.len() {
        let Some(index) = next else { return false };
        next = lane
            .outputs
            .get(usize::from(index))
            .and_then(|output| output.escalate_to);
    }
    next.is_some()
}

fn check_device(
    look: &Lookup<'_>,
    name: &str,
    link: &LinkPlan,
    tags: usize,
) -> Result<(), PlanError> {
    match link {
        // Checked with what the whole pack shares.
        LinkPlan::Analyzer(_) => {}
        LinkPlan::Modbus(modbus) => {
            for point in &modbus.points {
                look.index(
                    || format!("a point of device {name}"),
                    usize::from(point.tag.0),
                    tags,
                )?;
            }
        }
        LinkPlan::Mqtt(mqtt) => {
            for field in mqtt
                .subscriptions
                .iter()
                .flat_map(|subscription| &subscription.fields)
            {
                look.index(
                    || format!("a field of device {name}"),
                    usize::from(field.tag.0),
                    tags,
                )?;
                if let ExtractPlan::Json(path) = &field.extract {
                    at_most("bytes of a JSON path", path.len(), limits::TEXT_BYTES_MAX)?;
                }
            }
        }
    }
    Ok(())
}

fn check_rules(look: &Lookup<'_>) -> Result<(), PlanError> {
    let lane = look.lane;
    let slots = usize::try_from(lane.slots()).unwrap_or(usize::MAX);
    for rule in &lane.rules {
        at_most(
            "outputs stopped by one rule",
            rule.stops.len(),
            limits::RULE_STOPS_MAX,
        )?;
        for stop in &rule.stops {
            look.index(
                || format!("`stops` of rule {}", rule.id),
                usize::from(*stop),
                lane.outputs.len(),
            )?;
        }
        look.value(rule.level == Level::Danger || rule.stops.is_empty(), || {
            format!("rule {} is an alert and stops an output", rule.id)
        })?;
        for program in rule.programs.iter().chain(&rule.raised) {
            program.check(slots).map_err(|cause| PlanError::Program {
                lane: lane.name.clone(),
                rule: rule.id.clone(),
                cause: cause.to_string(),
            })?;
        }
        let channels = match rule.voting {
            Some(voting) => {
                look.index(
                    || format!("the voting of rule {}", rule.id),
                    usize::from(voting),
                    lane.votings.len(),
                )?;
                lane.votings
                    .get(usize::from(voting))
                    .map_or(0, |voting| voting.channels.len())
            }
            None => 1,
        };
        look.value(
            rule.programs.len() == channels
                && (rule.raised.is_empty() || rule.raised.len() == channels)
                && rule.raised.is_empty() == rule.multiplier.is_none(),
            || format!("rule {} does not have one condition a channel", rule.id),
        )?;
        let enables = rule.inhibit.iter().chain(
            rule.multiplier
                .as_ref()
                .map(|multiplier| &multiplier.enable),
        );
        for enable in enables {
            look.index(
                || format!("an enabling tag of rule {}", rule.id),
                usize::from(enable.tag.0),
                lane.tags.len(),
            )?;
        }
        look.value(
            rule.multiplier
                .is_none_or(|multiplier| multiplier.factor.is_finite() && multiplier.factor > 1.0),
            || format!("the multiplier of rule {} raises nothing", rule.id),
        )?;
        look.value(
            rule.debounce.is_none_or(|debounce| {
                debounce.need > 0
                    && debounce.need <= debounce.of
                    && debounce.of <= limits::DEBOUNCE_SAMPLES_MAX
            }),
            || format!("the debounce of rule {} cannot be", rule.id),
        )?;
    }
    Ok(())
}
