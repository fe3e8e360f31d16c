//! Identifiers, texts, hosts, topics: what a text must look like to be one.

use rt_config::limits::{ID_BYTES_MAX, MQTT_TOPIC_BYTES_MAX, TEXT_BYTES_MAX};

use crate::finding::Code;
use crate::read::{Cx, Span, short};
use crate::scalar::{Duration, Text};

/// Reports an id that is not letters, digits, `_` and `-`, starting with a letter.
pub(super) fn check_id(kind: &str, name: &str, span: &Span, cx: &mut Cx<'_, '_>) {
    let mut characters = name.chars();
    let good = characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && characters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    judge_id(
        kind,
        name,
        span,
        good,
        "letters, digits, `_` and `-`, starting with a letter",
        cx,
    );
}

/// Reports a name that an expression could not read: letters, digits and `_`, in parts joined by dots.
pub(super) fn check_name(kind: &str, name: &str, span: &Span, cx: &mut Cx<'_, '_>) {
    let mut parts = name.split('.');
    let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let word = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let good = parts
        .next()
        .is_some_and(|first| starts(first) && word(first))
        && parts.all(word);
    if good && (rules_expr::RESERVED_WORDS.contains(&name) || name == super::model::CHANNEL) {
        cx.findings
            .error(
                Code::NameTaken,
                span,
                format!(
                    "`{name}` is a word of the expression language and cannot be the name of {}",
                    with_article(kind)
                ),
                format!("call it something else, such as `my_{name}`"),
            )
            .label("reserved");
        return;
    }
    judge_id(
        kind,
        name,
        span,
        good,
        "letters, digits and `_`, in parts joined by dots, starting with a letter",
        cx,
    );
}

/// Reports a pack name that is not lower-case letters, digits and dashes.
pub(super) fn check_pack_name(name: &Text, cx: &mut Cx<'_, '_>) {
    let text = name.value.as_str();
    let good = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    judge_id(
        "pack",
        text,
        &name.span,
        good,
        "lower-case letters, digits and dashes",
        cx,
    );
}

/// `a tag`, `an output`.
pub(super) fn with_article(kind: &str) -> String {
    let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {kind}")
}

fn judge_id(kind: &str, name: &str, span: &Span, good: bool, form: &str, cx: &mut Cx<'_, '_>) {
    if name.len() > ID_BYTES_MAX {
        cx.findings
            .error(
                Code::BadIdentifier,
                span,
                format!("the name of this {kind} has {} bytes", name.len()),
                format!("names have at most {ID_BYTES_MAX} bytes; they are printed in tables and used in topics"),
            )
            .label("too long");
    } else if !good {
        let shown = short(name);
        let mended: String = name
            .chars()
            .filter_map(|c| match c {
                _ if c.is_ascii_alphanumeric() || c == '.' => Some(c),
                ' ' | '-' | '_' | '/' => Some('_'),
                _ => None,
            })
            .collect();
        let example = if kind == "pack" {
            mended.to_ascii_lowercase().replace(['_', '.'], "-")
        } else {
            mended
        };
        let help = if example.is_empty()
            || example == name
            || !example.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            format!("use {form}")
        } else {
            format!("use {form}: `{example}`")
        };
        cx.findings
            .error(
                Code::BadIdentifier,
                span,
                format!("`{shown}` is not a valid name for {}", with_article(kind)),
                help,
            )
            .label("not a valid name");
    }
}

/// Reports a text that is empty, longer than `max` bytes, or holds control characters. Returns whether it is good.
pub(super) fn check_text(what: &str, text: &Text, max: usize, cx: &mut Cx<'_, '_>) -> bool {
    let (problem, help) = if text.value.trim().is_empty() {
        (
            "is empty".to_owned(),
            "write something, or remove the key".to_owned(),
        )
    } else if text.value.len() > max {
        (
            format!("has {} bytes", text.value.len()),
            format!("at most {max} bytes are allowed; put the details behind `runbook`"),
        )
    } else if text.value.chars().any(|c| c.is_control() && c != '\n') {
        (
            "holds control characters".to_owned(),
            "write it as plain text on one line".to_owned(),
        )
    } else {
        return true;
    };
    cx.findings
        .error(Code::BadText, &text.span, format!("{what} {problem}"), help);
    false
}

/// A text of ordinary length, as the plan keeps it: trimmed.
pub(super) fn ordinary_text(
    what: &str,
    text: Option<&Text>,
    cx: &mut Cx<'_, '_>,
) -> Option<String> {
    let text = text?;
    check_text(what, text, TEXT_BYTES_MAX, cx).then(|| text.value.trim().to_owned())
}

/// Reports a host that is neither a name nor an address.
pub(super) fn check_host(host: &Text, cx: &mut Cx<'_, '_>) {
    let text = host.value.as_str();
    let is_ipv6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = !text.is_empty()
        && text.len() <= 253
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if is_ipv6 || is_name {
        return;
    }
    let help = match text.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty() && !port.is_empty() && port.chars().all(|c| c.is_ascii_digit()) =>
        {
            let name = name.rsplit('/').next().unwrap_or(name);
            format!("write the port under its own key: `host: {name}`, `port: {port}`")
        }
        _ => "write an IP address or a host name, without scheme, port or path: `192.168.1.20`"
            .to_owned(),
    };
    cx.findings
        .error(
            Code::BadHost,
            &host.span,
            format!("`{}` is not a host", short(text)),
            help,
        )
        .label("not a host name or address");
}

/// Reports a topic that cannot be subscribed to or published under as one exact topic.
pub(super) fn check_topic(what: &str, topic: &Text, cx: &mut Cx<'_, '_>) {
    let text = topic.value.as_str();
    let (problem, help) = if text.is_empty() {
        (
            "is empty".to_owned(),
            "write the topic that the sensor publishes to".to_owned(),
        )
    } else if text.len() > MQTT_TOPIC_BYTES_MAX {
        (
            format!("has {} bytes", text.len()),
            format!("topics have at most {MQTT_TOPIC_BYTES_MAX} bytes"),
        )
    } else if let Some(wildcard) = text.chars().find(|c| matches!(c, '+' | '#')) {
        (
            format!("holds the wildcard `{wildcard}`"),
            "write one exact topic for each tag; with a wildcard any publisher could stand in for the sensor".to_owned(),
        )
    } else if text.chars().any(char::is_control) {
        (
            "holds control characters".to_owned(),
            "write it as plain text".to_owned(),
        )
    } else if text.starts_with('/') || text.ends_with('/') {
        (
            "starts or ends with `/`".to_owned(),
            format!(
                "write `{}`; an empty level is almost always a slip",
                short(text.trim_matches('/'))
            ),
        )
    } else {
        return;
    };
    cx.findings.error(
        Code::BadTopic,
        &topic.span,
        format!("{what} {problem}"),
        help,
    );
}

/// A duration in nanoseconds, or `default` when absent. Reports zero.
pub(super) fn positive(
    key: &str,
    duration: Option<&Duration>,
    default: u64,
    cx: &mut Cx<'_, '_>,
) -> u64 {
    let Some(duration) = duration else {
        return default;
    };
    if duration.ns == 0 {
        cx.findings
            .error(
                Code::BadDuration,
                &duration.span,
                format!("`{key}` cannot be zero"),
                "write a time longer than zero, such as `10ms`",
            )
            .label("zero");
    }
    duration.ns
}
