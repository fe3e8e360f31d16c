//! `status` and `tags`: what is.

mod status;
mod tables;

use appliance_control::{Client, ClientError, Reply, Request, Status, TagStatus};

use crate::args::Format;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Table, toned};
use crate::units;

/// `tripline status`.
pub(crate) fn status(format: Format, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let status = ask_status(settings)?;
    match format {
        Format::Json => out.json(&status)?,
        Format::Text => status::print(&status, settings, out)?,
    }
    Ok(Exit::Ok)
}

fn ask_status(settings: &Settings) -> Result<Status, ClientError> {
    match Client::connect(&settings.socket)?.ask(&Request::Status {})? {
        Reply::Status(status) => Ok(*status),
        _ => Err(ClientError::Unexpected),
    }
}

/// `tripline tags`.
pub(crate) fn tags(format: Format, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let tags = match Client::connect(&settings.socket)?.ask(&Request::Tags {})? {
        Reply::Tags { tags } => tags,
        _ => return Err(ClientError::Unexpected.into()),
    };
    match format {
        Format::Json => out.json(&tags)?,
        Format::Text => out.text(tag_table(&tags).painted(out.paint()))?,
    }
    Ok(Exit::Ok)
}

fn tag_table(tags: &[TagStatus]) -> Table {
    let mut table = Table::new([
        ("lane", Align::Left),
        ("tag", Align::Left),
        ("value", Align::Right),
        ("unit", Align::Left),
        ("quality", Align::Left),
        ("age", Align::Right),
        ("cause", Align::Left),
    ]);
    for tag in tags {
        let tone = match tag.quality.as_str() {
            "good" => Tone::Good,
            "uncertain" => Tone::Warn,
            _ => Tone::Bad,
        };
        table.row([
            tag.lane.as_str().into(),
            tag.name.as_str().into(),
            tag.value.map_or("-".to_owned(), units::value).into(),
            tag.unit.as_str().into(),
            toned(tone, tag.quality.as_str()),
            age(tag).into(),
            tag.cause.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// A tag that never had a sample has no age that says anything.
fn age(tag: &TagStatus) -> String {
    if tag.age_ns == u64::MAX {
        "never".to_owned()
    } else {
        units::time(tag.age_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::Paint;

    #[test]
    fn an_unusable_tag_shows_no_number() {
        let tag = TagStatus {
            lane: "main".into(),
            name: "a.b".into(),
            value: None,
            unit: "bar".into(),
            quality: "stale".into(),
            cause: Some("no sample in time".into()),
            age_ns: 1_500_000_000,
        };
        let never = TagStatus {
            age_ns: u64::MAX,
            ..tag.clone()
        };
        let text = tag_table(&[tag, never])
            .painted(Paint::new(false))
            .to_string();
        let mut lines = text.lines().skip(1);
        assert_eq!(
            lines.next(),
            Some("  main  a.b      -  bar   stale    1.50 s  no sample in time")
        );
        assert!(lines.next().is_some_and(|line| line.contains(" never ")));
    }
}
