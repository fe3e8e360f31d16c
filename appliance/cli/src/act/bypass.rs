//! `tripline bypass`: begins one, ends one, lists those in force.

use appliance_control::{BypassStatus, Request, Status};
use appliance_desk::wall_time::time_of_day;

use super::{do_it, status};
use crate::args::Withhold;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Table, toned};
use crate::units;

/// `tripline bypass`.
pub(crate) fn bypass(
    point: Option<&str>,
    end: Option<&str>,
    how: &Withhold,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let (point, lasting, why) = match (end, point, how.lasting, &how.why) {
        (Some(point), ..) => return end_one(point, &how.who, settings, out),
        (None, Some(point), Some(lasting), Some(why)) => (point, lasting, why),
        _ => return list(settings, out),
    };
    let request = Request::Bypass {
        point: point.to_owned(),
        who: how.who.clone(),
        why: why.clone(),
        for_ns: lasting,
    };
    do_it("bypass", &request, settings, |_| {
        let head = out.tone(Tone::Warn, "BYPASSED").to_string();
        let span = units::span(lasting);
        out.line(format_args!(
            "{head}  {point}: its vote is withheld for {span}, then it counts again by itself"
        ))?;
        let end = settings.command(&format!("bypass --end {point}"));
        out.line(format_args!("  end it sooner with:  {end}"))
    })
}

fn end_one(point: &str, who: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let request = Request::BypassEnd {
        point: point.to_owned(),
        who: who.to_owned(),
    };
    do_it("bypass", &request, settings, |_| {
        out.line(format_args!("ended: the vote of {point} counts again"))
    })
}

fn list(settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let status = status(settings)?;
    let table = table(&status);
    if table.is_empty() {
        out.line("nothing is bypassed")?;
    } else {
        out.text(table.painted(out.paint()))?;
    }
    Ok(Exit::Ok)
}

/// Every bypass in force.
pub(crate) fn table(status: &Status) -> Table {
    let mut table = Table::new([
        ("bypassed", Align::Left),
        ("left", Align::Right),
        ("until (UTC)", Align::Left),
        ("by", Align::Left),
        ("why", Align::Left),
    ]);
    let bypasses = status.lanes.iter().flat_map(|lane| &lane.bypasses);
    for bypass in bypasses {
        let BypassStatus {
            point,
            by,
            why,
            until_wall_ns,
            remaining_ns,
        } = bypass;
        table.row([
            toned(Tone::Warn, point.as_str()),
            units::span(*remaining_ns).into(),
            until(*until_wall_ns).into(),
            by.to_string().into(),
            why.escape_debug().to_string().into(),
        ]);
    }
    table
}

/// A time of day without its fractions.
pub(crate) fn until(wall_ns: u64) -> String {
    let time = time_of_day(wall_ns);
    time.split('.').next().unwrap_or_default().to_owned()
}
