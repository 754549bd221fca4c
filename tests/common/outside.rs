// SPDX-License-Identifier: MIT
//! What a Hestia user looks like to others: logins, mails over IMAP, rows over SQL, answers of name
//! servers and sites. Each line of a file says where to look:
//!
//! ```text
//! imap ACCOUNT PASSWORD          folders and messages
//! ftp ACCOUNT PASSWORD           a listing
//! mysql DATABASE USER PASSWORD   tables and their checksums, as the database's own user
//! pgsql DATABASE USER PASSWORD   tables and how many rows they have, as that user
//! web URL [USER:PASSWORD]        status and content, from this machine
//! tls HOST                       the fingerprint of the certificate
//! dns NAME TYPE                  what this machine's name server answers
//! ```
#![allow(dead_code, missing_docs, clippy::all, clippy::pedantic, clippy::panic)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

/// Looks everywhere. A look that fails says so in its text, so that nothing counts as the same
/// because both times nobody answered: see [`assert_answered`].
pub fn look(places: &str) -> BTreeMap<String, String> {
    let lines = places.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| (hide(line), at(&line.split_whitespace().collect::<Vec<_>>()))).collect()
}

/// Every place must have answered once.
pub fn assert_answered(seen: &BTreeMap<String, String>) {
    for (place, answer) in seen {
        assert!(!answer.starts_with("FAILED") && !answer.is_empty(), "{place}: {answer}");
    }
}

/// The place without its password.
fn hide(line: &str) -> String {
    let words: Vec<_> = line.split_whitespace().collect();
    let shown = match words[0] {
        "imap" | "ftp" | "web" => 2,
        _ => 3,
    };
    words.into_iter().take(shown).collect::<Vec<_>>().join(" ")
}

fn at(words: &[&str]) -> String {
    match words {
        ["imap", account, password] => imap(&format!("{account}:{password}")),
        ["ftp", account, password] => {
            let login = format!("{account}:{password}");
            run("curl", &["-sS", "--list-only", "--user", &login, "ftp://127.0.0.1/"])
        }
        ["mysql", database, user, password] => mysql(database, user, password),
        ["pgsql", database, user, password] => pgsql(database, user, password),
        ["web", url] => web(url, None),
        ["web", url, login] => web(url, Some(login)),
        ["tls", host] => tls(host),
        ["dns", name, kind] => {
            let answer = run("dig", &["+short", "+time=2", "+tries=2", "@127.0.0.1", name, kind]);
            // Name servers answer in any order.
            let mut lines: Vec<_> = answer.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        }
        other => panic!("a place is written otherwise: {other:?}"),
    }
}

fn imap(login: &str) -> String {
    let folders = run("curl", &["-sS", "--user", login, "imap://127.0.0.1/"]);
    let fetch = "FETCH 1:* (FLAGS RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
    // The request's own lines are in what curl tells of the conversation.
    let talk = Command::new("curl")
        .args(["-sv", "--user", login, "imap://127.0.0.1/INBOX", "-X", fetch])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&talk.stderr).into_owned();
    let mut messages: Vec<String> = talk
        .lines()
        .filter(|line| line.contains(" FETCH (") || line.contains("Message-ID"))
        .map(|line| {
            let line = line.split_once(" FETCH (").map_or(line, |(_, rest)| rest);
            [" \\Recent", "\\Recent ", "\\Recent"]
                .iter()
                .fold(line.to_owned(), |line, mark| line.replace(mark, ""))
        })
        .collect();
    messages.sort();
    let mut folders: Vec<_> = folders.lines().collect();
    folders.sort_unstable();
    format!("{}\n{}", folders.join("\n"), messages.join("\n"))
}

fn mysql(database: &str, user: &str, password: &str) -> String {
    let ask = |sql: &str| {
        let word = format!("--password={password}");
        run("mariadb", &["--no-defaults", "-u", user, &word, "-N", "-B", database, "-e", sql])
    };
    let tables = ask("SHOW FULL TABLES");
    if tables.starts_with("FAILED") {
        return tables;
    }
    let names = tables.lines().filter(|line| line.ends_with("BASE TABLE"));
    let sums: String = names
        .map(|line| ask(&format!("CHECKSUM TABLE `{}`", line.split('\t').next().unwrap())))
        .collect();
    format!("{tables}{sums}{}", ask("SHOW GRANTS"))
}

fn pgsql(database: &str, user: &str, password: &str) -> String {
    let ask = |sql: &str| {
        let url = format!("postgresql://{user}:{password}@localhost/{database}");
        run("psql", &["-X", "-A", "-t", "-c", sql, &url])
    };
    let tables = ask("SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM \
                      pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') \
                      ORDER BY 1");
    if tables.starts_with("FAILED") {
        return tables;
    }
    let sum = |table: &str| {
        ask(&format!(
            "SELECT '{table}', count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) \
                      FROM {table} t"
        ))
    };
    tables.lines().map(sum).collect()
}

fn web(url: &str, login: Option<&str>) -> String {
    let host = url.split('/').nth(2).unwrap();
    let here = [80, 443].map(|port| format!("{host}:{port}:127.0.0.1"));
    let mut words = vec!["-sSk", "--resolve", &here[0], "--resolve", &here[1]];
    words.extend(["-w", "\n%{http_code}", url]);
    words.extend(login.iter().flat_map(|login| ["--user", login]));
    run("curl", &words)
}

fn tls(host: &str) -> String {
    let talk = run("openssl", &["s_client", "-connect", "127.0.0.1:443", "-servername", host]);
    let first = talk.find("-----BEGIN CERTIFICATE-----");
    first.map_or(format!("FAILED: {talk}"), |start| {
        talk[start..].split("-----END").next().unwrap().to_owned()
    })
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return text;
    }
    format!("FAILED: {text}{}", String::from_utf8_lossy(&output.stderr))
}
