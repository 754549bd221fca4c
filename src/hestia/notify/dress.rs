// SPDX-License-Identifier: MIT
//! A message as each receiver understands it: JSON for programs, Slack, Discord, Telegram and ntfy,
//! HTML for mail and the panel. What is in a message may be hostile, so each of these escapes all
//! of it by the rules of its own, and stays within the length its receiver takes.

use super::message::{Event, Message};
use crate::base::{Error, Kind, Result};
use crate::hestia::call::html;
use crate::hestia::jobs::health::Light;
use reqwest::Url;
use serde_json::{Value, json};

/// Letters that Slack shows of a message without folding it.
const SLACK_LETTERS: usize = 3000;
/// UTF-16 units that Discord takes.
const DISCORD_UNITS: usize = 2000;
/// UTF-16 units that Telegram takes.
const TELEGRAM_UNITS: usize = 4096;
/// Bytes that ntfy takes for a text rather than an attachment.
const NTFY_BYTES: usize = 4096;
/// Bytes that the panel takes.
const PANEL_BYTES: usize = 4000;
/// Bytes of a ping that are kept by whoever takes it: 10 kB at healthchecks.io, and less elsewhere.
const PING_BYTES: usize = 4000;
/// Bytes of a mail's text: all lines of a message.
const MAIL_BYTES: usize = 100_000;

/// How long a text is, as its receiver counts.
type Measure = fn(&str) -> usize;

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The lines of a message, escaped and joined, as many as there is room for.
fn fitted(
    lines: &[String],
    more: usize,
    escape: &dyn Fn(&str) -> String,
    (measure, most): (Measure, usize),
) -> String {
    // Room for the line that says how many are missing, which needs no escape.
    let room = most.saturating_sub(40);
    let mut text = String::new();
    let mut left = lines.len();
    for line in lines {
        let line = escape(line);
        let joint = if text.is_empty() { "" } else { "\n" };
        if measure(&text) + measure(&line) + 1 > room {
            break;
        }
        text.push_str(joint);
        text.push_str(&line);
        left -= 1;
    }
    let missing = left + more;
    if missing > 0 {
        text.push_str(&format!("\nand {missing} more"));
    }
    text
}

fn with_title(message: &Message) -> Vec<String> {
    std::iter::once(message.title.clone()).chain(message.lines.iter().cloned()).collect()
}

/// Our own JSON.
pub fn own(message: &Message) -> Value {
    let items = message.items.iter().map(|one| {
        let mut item = json!({
            "about": one.about, "name": one.name, "sort": one.sort, "state": one.state,
            "text": one.text,
        });
        if one.since > 0
            && let Some(fields) = item.as_object_mut()
        {
            fields.insert("since".to_owned(), one.since.into());
        }
        item
    });
    json!({
        "source": "ghostsnap",
        "version": env!("CARGO_PKG_VERSION"),
        "event": message.event.word(),
        "light": message.light.word(),
        "time": message.time.rfc3339(),
        "host": message.host,
        "title": message.title,
        "text": message.lines,
        "more": message.more,
        "troubles": items.collect::<Vec<_>>(),
    })
}

/// Slack's: three characters begin everything that means something there, and formatting is off.
pub fn slack(message: &Message) -> Value {
    let escape = |line: &str| line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let room: (Measure, usize) = (|text| text.chars().count(), SLACK_LETTERS);
    let text = fitted(&with_title(message), message.more, &escape, room);
    json!({ "text": text, "mrkdwn": false, "unfurl_links": false, "unfurl_media": false })
}

/// Discord's: every character of its Markdown is escaped, nobody is mentioned, nothing is embedded.
pub fn discord(message: &Message) -> Value {
    let escape = |line: &str| {
        let mut safe = String::with_capacity(line.len());
        for letter in line.chars() {
            if letter.is_ascii_punctuation() && !matches!(letter, ',' | '.' | ';' | '%' | '/') {
                safe.push('\\');
            }
            safe.push(letter);
        }
        safe
    };
    let text = fitted(&with_title(message), message.more, &escape, (units, DISCORD_UNITS));
    // 4: no embeds.
    json!({ "content": text, "allowed_mentions": { "parse": [] }, "flags": 4 })
}

/// Telegram's: without a mode of parsing nothing in it means anything.
pub fn telegram(message: &Message, chat: &str) -> Value {
    let text = fitted(&with_title(message), message.more, &str::to_owned, (units, TELEGRAM_UNITS));
    json!({ "chat_id": chat, "text": text, "link_preview_options": { "is_disabled": true } })
}

/// ntfy's, with the address it goes to: the topic is the last part of the URL, and goes along as
/// JSON, so that nothing of a message is ever in a header.
pub fn ntfy(message: &Message, url: &Url) -> Result<(Url, Value)> {
    let mut server = url.clone();
    let wrong = || {
        Error::new(Kind::Invalid, "use the address of ntfy")
            .why("it must end in a topic, as https://ntfy.sh/TOPIC does")
    };
    let path = url.path().trim_matches('/').to_owned();
    let (folder, topic) = path.rsplit_once('/').unwrap_or(("", path.as_str()));
    if topic.is_empty() {
        return Err(wrong());
    }
    server.set_path(folder);
    server.set_query(None);
    server.set_fragment(None);
    let (priority, tag) = match (message.event, message.light) {
        (Event::Trouble, Light::Red) => (4, "rotating_light"),
        (Event::Trouble, _) => (3, "warning"),
        _ => (2, "white_check_mark"),
    };
    let text = fitted(&message.lines, message.more, &str::to_owned, (str::len, NTFY_BYTES));
    let body = json!({
        "topic": topic, "title": message.title, "message": text,
        "priority": priority, "tags": [tag],
    });
    Ok((server, body))
}

/// Subject and body of a mail. Hestia's wrapper makes each line break a `<br />` beside it and the
/// text of the mail from the HTML, so that line breaks are the only layout.
pub fn mail(message: &Message) -> (String, String) {
    let escape = |line: &str| html(line);
    let text = fitted(&message.lines, message.more, &escape, (str::len, MAIL_BYTES));
    let title = html(&message.title);
    (message.title.clone(), format!("<b>{title}</b>\n\n{text}\n"))
}

/// Topic and paragraphs of a notification in the panel.
pub fn panel(message: &Message) -> (String, Vec<String>) {
    // Each line becomes `<p>...</p>`, and what is escaped there is counted as it will be.
    let mut room = PANEL_BYTES - 100;
    let mut lines = Vec::new();
    for line in &message.lines {
        let bytes = html(line).len() + 7;
        if bytes > room {
            break;
        }
        room -= bytes;
        lines.push(line.clone());
    }
    let missing = message.lines.len() - lines.len() + message.more;
    if missing > 0 {
        lines.push(format!("and {missing} more"));
    }
    (message.title.clone(), lines)
}

/// What goes along with a ping: plain text.
pub fn ping(lines: &[String]) -> String {
    fitted(lines, 0, &str::to_owned, (str::len, PING_BYTES))
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{late, told};
    use super::*;
    use proptest::prelude::*;

    fn message(text: &str) -> Message {
        told(None, vec![late("alice", text)], vec![])
    }

    fn long() -> Message {
        let many =
            (0..60).map(|n| late(&format!("u{n}"), &format!("{n}{}", "&\"\u{1f980}".repeat(500))));
        told(None, many.collect(), vec![])
    }

    /// What a reader of this escape understands; `None` if it would understand more than text.
    fn unescape_html(text: &str) -> Option<String> {
        if text.contains(['<', '>', '"', '\'']) {
            return None;
        }
        let mut out = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        out = out.replace("&#39;", "'");
        (out.matches('&').count() == out.matches("&amp;").count())
            .then(|| out.replace("&amp;", "&"))
    }

    #[test]
    fn each_receiver_gets_what_it_takes() {
        let message = message("/home/alice/a_b*c is gone <x> & \"y\"");
        assert_eq!(
            slack(&message)["text"],
            "Ghostsnap on web1: 1 problem\nalice: /home/alice/a_b*c is gone &lt;x&gt; &amp; \"y\""
        );
        assert_eq!(
            discord(&message)["content"],
            "Ghostsnap on web1\\: 1 problem\n\
             alice\\: /home/alice/a\\_b\\*c is gone \\<x\\> \\& \\\"y\\\""
        );
        let telegram = telegram(&message, "-100");
        assert_eq!(telegram["chat_id"], "-100");
        assert!(telegram["text"].as_str().unwrap().ends_with("is gone <x> & \"y\""));
        assert!(telegram.get("parse_mode").is_none());
        let url: Url = "https://ntfy.example/base/backups?auth=x#y".parse().unwrap();
        let (server, body) = ntfy(&message, &url).unwrap();
        assert_eq!(server.as_str(), "https://ntfy.example/base");
        assert_eq!((&body["topic"], &body["priority"]), (&json!("backups"), &json!(4)));
        assert!(ntfy(&message, &"https://ntfy.example/".parse().unwrap()).is_err());
        let own = own(&message);
        assert_eq!(own["troubles"][0]["name"], "alice");
        assert_eq!((&own["event"], &own["light"]), (&json!("trouble"), &json!("red")));
        let (subject, body) = mail(&message);
        assert_eq!(subject, "Ghostsnap on web1: 1 problem");
        assert!(body.contains("&lt;x&gt; &amp; &quot;y&quot;"), "{body}");
        assert_eq!(panel(&message).1, ["alice: /home/alice/a_b*c is gone <x> & \"y\""]);
    }

    #[test]
    fn nothing_is_longer_than_its_receiver_takes_and_what_is_missing_is_counted() {
        let message = long();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (slack, discord) =
            (text(&slack(&message)["text"]), text(&discord(&message)["content"]));
        let telegram = text(&telegram(&message, "1")["text"]);
        let ntfy = ntfy(&message, &"https://n.example/t".parse().unwrap()).unwrap().1;
        let ntfy = text(&ntfy["message"]);
        let panel: usize = panel(&message).1.iter().map(|line| html(line).len() + 7).sum();
        assert!(slack.chars().count() <= SLACK_LETTERS + 1000 && slack.ends_with(" more"));
        assert!(units(&discord) <= DISCORD_UNITS, "{}", units(&discord));
        assert!(units(&telegram) <= TELEGRAM_UNITS && telegram.ends_with(" more"));
        assert!(ntfy.len() <= NTFY_BYTES && panel <= PANEL_BYTES, "{} {panel}", ntfy.len());
        assert!(ping(&message.lines).len() <= PING_BYTES);
    }

    proptest! {
        #[test]
        fn whatever_a_text_is_it_stays_text(text in "\\PC{0,80}|[<>&\"'\\\\*_~`|@#\\[\\]()!-]{0,40}") {
            let message = message(&text);
            let line = &message.lines[0];
            // Slack: its three characters only as entities.
            let said = slack(&message)["text"].as_str().unwrap().to_owned();
            let second = said.split_once('\n').unwrap().1.to_owned();
            prop_assert!(!second.contains(['<', '>']));
            let read = second.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
            prop_assert_eq!(&read, line);
            // Discord: every character that means something has a backslash before it.
            let said = discord(&message)["content"].as_str().unwrap().to_owned();
            let second = said.split_once('\n').unwrap().1.to_owned();
            let (mut read, mut letters) = (String::new(), second.chars());
            while let Some(letter) = letters.next() {
                let is_special = "*_~`|>#-[]()@<!:\"'&".contains(letter);
                prop_assert!(!is_special, "{second}");
                read.push(if letter == '\\' { letters.next().unwrap() } else { letter });
            }
            prop_assert_eq!(&read, line);
            // Telegram and ntfy: as it is.
            prop_assert!(telegram(&message, "1")["text"].as_str().unwrap().ends_with(line.as_str()));
            // Mail: no markup but ours, and one line.
            let (subject, body) = mail(&message);
            prop_assert!(!subject.contains(['\n', '\r']));
            let inner = body.strip_prefix("<b>").unwrap().split_once("\n\n").unwrap().1;
            let inner = inner.strip_suffix('\n').unwrap();
            prop_assert!(!inner.contains('\n'));
            prop_assert_eq!(unescape_html(inner), Some(line.clone()));
            // JSON of all sorts is JSON.
            for value in [own(&message), slack(&message), discord(&message)] {
                let back: Value = serde_json::from_str(&value.to_string()).unwrap();
                prop_assert_eq!(back, value);
            }
        }
    }
}
