//! `tripline shelve`: shelves an alert, takes it back, lists what is shelved.

use appliance_control::{Request, ShelvedStatus, Status};

use super::bypass::until;
use super::{do_it, status};
use crate::args::Withhold;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Table, toned};
use crate::units;

/// `tripline shelve`.
pub(crate) fn shelve(
    rule: Option<&str>,
    end: Option<&str>,
    how: &Withhold,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let (rule, lasting, why) = match (end, rule, how.lasting, &how.why) {
        (Some(rule), ..) => return end_one(rule, &how.who, settings, out),
        (None, Some(rule), Some(lasting), Some(why)) => (rule, lasting, why),
        _ => return list(settings, out),
    };
    let request = Request::Shelve {
        rule: rule.to_owned(),
        who: how.who.clone(),
        why: why.clone(),
        for_ns: lasting,
    };
    do_it("shelve", &request, settings, |_| {
        let head = out.tone(Tone::Warn, "SHELVED").to_string();
        let span = units::span(lasting);
        out.line(format_args!(
            "{head}  {rule}: not told for {span}; it goes on watching, `tripline status` shows it"
        ))?;
        let end = settings.command(&format!("shelve --end {rule}"));
        out.line(format_args!("  end it sooner with:  {end}"))
    })
}

fn end_one(rule: &str, who: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let request = Request::Unshelve {
        rule: rule.to_owned(),
        who: who.to_owned(),
    };
    do_it("shelve", &request, settings, |_| {
        out.line(format_args!("unshelved: {rule} is told again"))
    })
}

fn list(settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let table = table(&status(settings)?);
    if table.is_empty() {
        out.line("nothing is shelved")?;
    } else {
        out.text(table.painted(out.paint()))?;
    }
    Ok(Exit::Ok)
}

/// Every shelved alert.
pub(crate) fn table(status: &Status) -> Table {
    let mut table = Table::new([
        ("shelved", Align::Left),
        ("left", Align::Right),
        ("until (UTC)", Align::Left),
        ("by", Align::Left),
        ("why", Align::Left),
    ]);
    for shelved in &status.shelved {
        let ShelvedStatus {
            rule,
            by,
            why,
            until_wall_ns,
            remaining_ns,
        } = shelved;
        table.row([
            toned(Tone::Warn, rule.as_str()),
            units::span(*remaining_ns).into(),
            until(*until_wall_ns).into(),
            by.to_string().into(),
            why.escape_debug().to_string().into(),
        ]);
    }
    table
}
