//! From everything that is known to the one word that people read first, and its reasons.

use appliance_control::{GroupStatus, LaneStatus, Proof, Reason, RuleStatus, State};
use appliance_lane::LatchCause;

/// The state and every reason for it, those of the state first.
pub(crate) fn of(lanes: &[LaneStatus], host: &[String], stopping: bool) -> (State, Vec<Reason>) {
    let mut reasons = Vec::new();
    if stopping {
        reasons.push(reason(State::Safe, "the guard is going down".to_owned()));
    }
    for lane in lanes {
        let groups = lane.groups.iter();
        reasons.extend(groups.filter_map(latched));
        let holds = lane.holds.iter().flatten();
        reasons.extend(
            holds.map(|hold| reason(State::Tripped, format!("held: {hold}; lift it, then reset"))),
        );
        reduced(lane, &mut reasons);
    }
    let lacks = host.iter();
    reasons.extend(lacks.map(|lack| reason(State::Degraded, lack.clone())));
    let has = |state| reasons.iter().any(|reason: &Reason| reason.state == state);
    let state = if stopping {
        State::Safe
    } else if has(State::Tripped) {
        State::Tripped
    } else if has(State::Safe) {
        State::Safe
    } else if has(State::Degraded) {
        State::Degraded
    } else {
        State::Armed
    };
    reasons.sort_by_key(|reason| reason.state != state);
    (state, reasons)
}

fn reason(state: State, text: String) -> Reason {
    Reason { state, text }
}

/// What a latched group says.
fn latched(group: &GroupStatus) -> Option<Reason> {
    let first_out = group.first_out.as_deref()?;
    let name = &group.name;
    // Nobody demanded these: the machine stands because nobody has armed it.
    let calm = [LatchCause::Boot, LatchCause::Shutdown].map(LatchCause::as_str);
    let before = match group.before_restart.as_deref() {
        Some(before) => format!(", before the restart: {before}"),
        None => String::new(),
    };
    if calm.contains(&first_out) && before.is_empty() {
        return Some(reason(State::Safe, format!("{name}: {first_out}")));
    }
    let text = match group.rule.as_deref() {
        Some(rule) => format!("{name}: stopped by {rule} ({first_out}){before}"),
        None => format!("{name}: {first_out}{before}"),
    };
    Some(reason(State::Tripped, text))
}

/// What protects less than it should.
fn reduced(lane: &LaneStatus, reasons: &mut Vec<Reason>) {
    let mut say = |text| reasons.push(reason(State::Degraded, text));
    for bypass in &lane.bypasses {
        say(format!("{} is bypassed by {}", bypass.point, bypass.by));
    }
    for analyzer in &lane.analyzers {
        if let Some(fault) = &analyzer.fault {
            say(format!("analyzer {}: {fault}", analyzer.name));
        }
    }
    for voting in &lane.votings {
        let ill =
            |channel: &&appliance_control::ChannelStatus| channel.health.as_deref() == Some("bad");
        if voting.channels.iter().any(|channel| ill(&channel)) {
            say(format!("voting {}: {voting}", voting.name));
        }
    }
    let on = |flag: Option<bool>| flag == Some(true);
    let rule = |what: &str, rule: &RuleStatus| format!("rule {}: {what}", rule.id);
    for it in &lane.rules {
        if on(it.multiplied) {
            say(rule("its setpoints are multiplied", it));
        }
        if on(it.inhibited) {
            say(rule("it is inhibited", it));
        }
        if let (Some(bound), Some(max)) = (it.bound_ns, it.measured_max_ns)
            && max > bound
        {
            say(rule("a stop took longer than the computed worst case", it));
        }
    }
    for output in &lane.outputs {
        let proofs = [
            ("echo", output.proof.echo),
            ("read-back", output.proof.read_back),
            ("feedback", output.proof.feedback),
            ("watchdog of its device", output.proof.watchdog),
        ];
        for (what, proof) in proofs {
            if proof == Some(Proof::Failed) {
                say(format!("output {}: {what} failed", output.name));
            }
        }
    }
}
