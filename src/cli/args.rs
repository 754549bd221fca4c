// SPDX-License-Identifier: MIT
//! From words to an [`Invocation`]: which row of the table is meant, and with which values. Two
//! ways lead here: the options of `ghostsnap ...`, read by clap as the table describes them, and
//! the positional arguments of a shim, which are never read as options whatever they look like.
//! Nothing is opened or looked up here.

use super::table::{
    self, Arg as TableArg, Command as Row, Flag, GROUPS, Owner, Shim, ShimArg, Value,
};
use super::table_flags::GLOBAL;
use crate::base::path::display_bytes;
use crate::base::{Error, Kind, Result};
use clap::builder::{PossibleValuesParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Longest text argument; a longer one is a mistake or an attack.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The word behind `--panel` that starts a shim's call.
const SHIM_PREFIX: &str = "v-ghostsnap-";

/// Where environment variables come from; tests bring their own.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// What the words turned out to be.
#[derive(Debug)]
pub enum Parsed {
    /// A call.
    Run(Box<Invocation>),
    /// A question for help or the version, answered.
    Text(String),
    /// Nothing sensible.
    Refused {
        /// What is wrong, for a person.
        text: String,
        /// Usage or invalid.
        kind: Kind,
        /// Whether a shim called, whose errors belong on standard output.
        panel: bool,
    },
}

/// A row of the table with the values for its arguments.
#[derive(Debug, Clone)]
pub struct Invocation {
    command: &'static Row,
    shim: Option<&'static Shim>,
    values: BTreeMap<&'static str, Vec<OsString>>,
    /// Options that the environment gave.
    from_env: BTreeSet<&'static str>,
}

impl Invocation {
    /// The row.
    pub fn command(&self) -> &'static Row {
        self.command
    }

    /// The shim it came from.
    pub fn shim(&self) -> Option<&'static Shim> {
        self.shim
    }

    /// Whether the argument or option was given or has a default.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// The same without those of these options that the environment gave.
    #[must_use]
    pub fn as_typed(&self, names: &[&'static str]) -> Self {
        let mut typed = self.clone();
        for name in names.iter().filter(|name| self.from_env.contains(*name)) {
            typed.values.remove(name);
        }
        typed
    }

    /// The value, checked to be text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first()?.to_str()
    }

    /// All values of an argument that may be repeated.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.all(name).filter_map(OsStr::to_str).collect()
    }

    /// The value as a path.
    pub fn path(&self, name: &str) -> Option<&Path> {
        self.values.get(name)?.first().map(Path::new)
    }

    /// All values as paths.
    pub fn paths(&self, name: &str) -> Vec<&Path> {
        self.all(name).map(Path::new).collect()
    }

    /// The value as a number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The value of an argument that the table requires.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.text(name).ok_or_else(|| Error::new(Kind::Usage, format!("do that without {name}")))
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &OsStr> {
        self.values.get(name).into_iter().flatten().map(OsString::as_os_str)
    }
}

/// Parses the words behind the program's name.
pub fn parse_words(words: &[OsString], env: Env<'_>) -> Parsed {
    match words {
        // Tests and people may call a shim by its name; shims themselves put --panel in front.
        [name, rest @ ..] if is_shim(name) => parse_shim(name, rest, env),
        [first, rest @ ..] if first == "ghostsnap" => parse_options(rest, env),
        [first, name, rest @ ..] if first == "--panel" && is_shim(name) => {
            parse_shim(name, rest, env)
        }
        _ => parse_options(words, env),
    }
}

fn is_shim(word: &OsStr) -> bool {
    word.as_bytes().starts_with(SHIM_PREFIX.as_bytes())
}

fn refused(kind: Kind, panel: bool, text: impl Into<String>) -> Parsed {
    Parsed::Refused { text: text.into(), kind, panel }
}

// ---- the panel's way: positions -----------------------------------------------------------

fn parse_shim(name: &OsStr, words: &[OsString], env: Env<'_>) -> Parsed {
    let Some((command, shim)) = name.to_str().and_then(table::shim) else {
        let name = display_bytes(name.as_bytes());
        return refused(Kind::NotFound, true, format!("Error: there is no command {name}"));
    };
    if words.len() < shim.required() {
        return refused(Kind::Usage, true, format!("Usage: {} {}", shim.name, shim.usage()));
    }
    let mut call = Invocation {
        command,
        shim: Some(shim),
        values: BTreeMap::new(),
        from_env: BTreeSet::new(),
    };
    call.values.insert("panel", Vec::new());
    for name in shim.fixed {
        call.values.insert(name, Vec::new());
    }
    let result =
        fill_from_positions(&mut call, shim, words).and_then(|()| fill_defaults(&mut call, env));
    match result {
        Ok(()) => Parsed::Run(Box::new(call)),
        Err(error) => refused(error.kind(), true, format!("Error: {}", error.one_line())),
    }
}

fn fill_from_positions(call: &mut Invocation, shim: &Shim, words: &[OsString]) -> Result<()> {
    for (place, arg) in shim.args.iter().enumerate() {
        if arg.many {
            let rest = words.get(place..).unwrap_or_default();
            let rest: Vec<OsString> = rest.iter().filter(|w| !w.is_empty()).cloned().collect();
            rest.iter().try_for_each(|word| check_value(arg.name, arg.value, word))?;
            if !rest.is_empty() {
                call.values.insert(arg.to, rest);
            } else if arg.required {
                return Err(Error::new(Kind::Invalid, format!("use an empty {}", arg.name)));
            }
            continue;
        }
        let given = words.get(place).filter(|word| !word.is_empty()).cloned();
        let word = match given.or_else(|| arg.default.map(OsString::from)) {
            Some(word) => word,
            None if arg.required => {
                return Err(Error::new(Kind::Invalid, format!("use an empty {}", arg.name)));
            }
            None => continue,
        };
        if let Some(values) = shim_values(arg, word)? {
            call.values.insert(arg.to, values);
        }
    }
    // Hestia's own commands ignore words behind their last argument, so callers may send some.
    if shim.owner != Owner::Nobody {
        check_user_name(words.first().map_or(OsStr::new(""), OsString::as_os_str))?;
    }
    Ok(())
}

/// The values one position stands for; `None` leaves a switch off.
fn shim_values(arg: &ShimArg, word: OsString) -> Result<Option<Vec<OsString>>> {
    check_value(arg.name, arg.value, &word)?;
    Ok(match arg.value {
        Value::YesNo => (word == "yes").then(Vec::new),
        Value::List => Some(split_list(&word)),
        _ => Some(vec![word]),
    })
}

fn split_list(word: &OsStr) -> Vec<OsString> {
    let pieces = word.as_bytes().split(|byte| *byte == b',').filter(|piece| !piece.is_empty());
    pieces.map(|piece| OsStr::from_bytes(piece).to_owned()).collect()
}

/// The same names Hestia accepts for users that exist: letters and digits at both ends, dots,
/// dashes and underscores between them.
fn check_user_name(word: &OsStr) -> Result<()> {
    let bytes = word.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    let fine = bytes.len() <= 30
        && ends.into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte));
    if fine {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, format!("use '{}' as a user name", display_bytes(bytes)))
        .why("it is not one that Hestia gives"))
}

// ---- a person's way: options --------------------------------------------------------------

fn parse_options(words: &[OsString], env: Env<'_>) -> Parsed {
    let panel = words.first().is_some_and(|word| word == "--panel");
    let program = std::iter::once(OsStr::new("ghostsnap"));
    let matches =
        match clap_command().try_get_matches_from(program.chain(words.iter().map(|w| &**w))) {
            Ok(matches) => matches,
            Err(error) => return not_parsed(&error, panel),
        };
    let (name, innermost) = innermost(&matches);
    let Some(command) = table::command(&name) else {
        return refused(Kind::Internal, panel, format!("Error: the table lacks '{name}'"));
    };
    let mut call =
        Invocation { command, shim: None, values: BTreeMap::new(), from_env: BTreeSet::new() };
    let result =
        fill_from_matches(&mut call, innermost).and_then(|()| fill_defaults(&mut call, env));
    match result {
        Ok(()) => Parsed::Run(Box::new(call)),
        Err(error) => refused(error.kind(), panel, format!("Error: {error}")),
    }
}

/// The words of the command and the matches of its last word.
fn innermost(matches: &ArgMatches) -> (String, &ArgMatches) {
    let mut names = Vec::new();
    let mut current = matches;
    while let Some((name, inner)) = current.subcommand() {
        names.push(name);
        current = inner;
    }
    (names.join(" "), current)
}

fn fill_from_matches(call: &mut Invocation, matches: &ArgMatches) -> Result<()> {
    for flag in call.command.all_flags() {
        match flag.value {
            None if matches.get_flag(flag.long) => {
                call.values.insert(flag.long, Vec::new());
            }
            None => {}
            Some((_, value)) => fill_value(call, matches, flag.long, value)?,
        }
    }
    for arg in call.command.args {
        fill_value(call, matches, arg.name, arg.value)?;
    }
    Ok(())
}

fn fill_value(
    call: &mut Invocation,
    matches: &ArgMatches,
    name: &'static str,
    value: Value,
) -> Result<()> {
    let words: Vec<OsString> = if matches!(value, Value::Choice(_)) {
        matches.get_many::<String>(name).into_iter().flatten().map(OsString::from).collect()
    } else {
        matches.get_many::<OsString>(name).into_iter().flatten().cloned().collect()
    };
    if words.is_empty() {
        return Ok(());
    }
    let mut checked = Vec::with_capacity(words.len());
    for word in words {
        check_value(name, value, &word)?;
        if value == Value::List {
            checked.extend(split_list(&word));
        } else {
            checked.push(word);
        }
    }
    call.values.insert(name, checked);
    Ok(())
}

/// Help and version are answers; the rest is said as Hestia says it.
fn not_parsed(error: &clap::Error, panel: bool) -> Parsed {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let text = error.render().to_string();
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                return refused(Kind::Usage, panel, text.trim_end());
            }
            Parsed::Text(text)
        }
        kind => {
            let kind = match kind {
                ErrorKind::InvalidValue | ErrorKind::ValueValidation => Kind::Invalid,
                _ => Kind::Usage,
            };
            refused(kind, panel, usage_text(error))
        }
    }
}

/// `Error: ...` on the first line, then the tips and the usage that clap knows.
fn usage_text(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let body = rendered.trim_end().strip_prefix("error: ").unwrap_or(rendered.trim_end());
    let mut text = format!("Error: {body}");
    let has_usage = error
        .context()
        .any(|(kind, value)| kind == ContextKind::Usage && !matches!(value, ContextValue::None));
    if !has_usage && !text.contains("--help") {
        text.push_str("\n\nFor more information, try 'ghostsnap --help'.");
    }
    display_lines(&text)
}

/// What was typed comes back in the message: it must not move the cursor.
fn display_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| display_bytes(line.as_bytes())).collect();
    lines.join("\n")
}

// ---- both ways ----------------------------------------------------------------------------

/// The environment and the defaults, where nothing was given.
fn fill_defaults(call: &mut Invocation, env: Env<'_>) -> Result<()> {
    for flag in call.command.all_flags() {
        let Some((_, value)) = flag.value else { continue };
        if call.values.contains_key(flag.long) {
            continue;
        }
        let from_env = flag.env.iter().find_map(|name| env(name)).filter(|word| !word.is_empty());
        if from_env.is_some() {
            call.from_env.insert(flag.long);
        }
        if let Some(word) = from_env.or_else(|| flag.default.map(OsString::from)) {
            check_value(flag.long, value, &word)?;
            call.values.insert(flag.long, vec![word]);
        }
    }
    Ok(())
}

/// Refuses what the value can never be; what it names is looked up later.
fn check_value(name: &str, value: Value, word: &OsStr) -> Result<()> {
    let wrong = |why: String| {
        let bytes = word.as_bytes().get(..80).unwrap_or(word.as_bytes());
        // Behind KEY= may stand what nobody should read.
        let bytes = match bytes.iter().position(|byte| *byte == b'=') {
            Some(end) if name.contains('=') => bytes.get(..=end).unwrap_or(bytes),
            _ => bytes,
        };
        let shown = display_bytes(bytes);
        Err(Error::new(Kind::Invalid, format!("use '{shown}' for {name}")).why(why))
    };
    if word.len() > TEXT_BYTES_MAX {
        return wrong(format!("it is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if matches!(value, Value::Path | Value::HomePath) {
        return if word.is_empty() { wrong("it is empty".to_owned()) } else { Ok(()) };
    }
    let Some(text) = word.to_str() else { return wrong("it is not UTF-8".to_owned()) };
    if text.chars().any(char::is_control) {
        return wrong("it holds control characters".to_owned());
    }
    match value {
        Value::Number if text.parse::<u64>().is_err() => wrong("it is not a number".to_owned()),
        Value::Percent if percent(text).is_none() => {
            wrong("a share is a number above 0 up to 100 with a % behind it".to_owned())
        }
        Value::Choice(words) if !words.contains(&text) => {
            wrong(format!("it must be one of {}", words.join(", ")))
        }
        Value::YesNo if !["yes", "no"].contains(&text) => wrong("it must be yes or no".to_owned()),
        Value::Text | Value::List if text.is_empty() => wrong("it is empty".to_owned()),
        _ => Ok(()),
    }
}

/// `5%` or `0.5%` in thousandths of the whole: 50 and 5.
pub fn percent(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    if tenths.len() != 1 {
        return None;
    }
    let share = whole.parse::<u64>().ok()?.checked_mul(10)? + tenths.parse::<u64>().ok()?;
    (1..=1000).contains(&share).then_some(share)
}

// ---- the table as clap sees it ------------------------------------------------------------

/// The parser of `ghostsnap`, from the table.
pub fn clap_command() -> Command {
    let mut root = Command::new("ghostsnap")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Encrypted, deduplicated backups of HestiaCP users and of plain files")
        .after_help(
            "The repository comes from --repository, GHOSTSNAP_REPOSITORY or the settings; its \
             password from --password-file, --password-command, --key-file, GHOSTSNAP_PASSWORD \
             or a prompt.\n\nManual: man ghostsnap",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .max_term_width(100)
        .args(
            GLOBAL.iter().map(|flag| clap_flag(flag).global(true).help_heading("Common options")),
        );
    let single = table::commands().filter(|row| !row.name.contains(' '));
    root = root.subcommands(single.map(|row| clap_row(row, row.name)));
    for (group, about) in GROUPS {
        let rows = table::commands().filter_map(|row| {
            let (above, name) = row.name.split_once(' ')?;
            (above == *group).then(|| clap_row(row, name))
        });
        let group = Command::new(*group).about(*about);
        root = root.subcommand(
            group.subcommand_required(true).arg_required_else_help(true).subcommands(rows),
        );
    }
    root
}

fn clap_row(row: &'static Row, name: &'static str) -> Command {
    let mut after = String::from("Examples:");
    for example in row.examples {
        after.push_str("\n  ");
        after.push_str(example);
    }
    let mut command = Command::new(name)
        .about(row.about)
        .hide(row.hidden)
        .args(row.args.iter().map(clap_arg))
        .args(row.flags.iter().map(clap_flag));
    if !row.details.is_empty() {
        command = command.long_about(format!("{}\n\n{}", capital(row.about), row.details));
    }
    if !row.examples.is_empty() {
        command = command.after_help(after);
    }
    command
}

/// With a capital letter and a period.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

fn clap_arg(arg: &'static TableArg) -> Arg {
    let action = if arg.many { ArgAction::Append } else { ArgAction::Set };
    let clap = Arg::new(arg.name).help(arg.about).required(arg.required).action(action);
    let clap = if arg.many { clap.num_args(1..) } else { clap };
    with_value(clap, arg.value)
}

fn clap_flag(flag: &'static Flag) -> Arg {
    let mut clap = Arg::new(flag.long)
        .long(flag.long)
        .visible_aliases(flag.also.iter().copied())
        .hide(flag.hidden)
        .help(flag_help(flag));
    if let Some(letter) = flag.short {
        clap = clap.short(letter);
    }
    let Some((name, value)) = flag.value else {
        return clap.action(ArgAction::SetTrue);
    };
    let action = if flag.many { ArgAction::Append } else { ArgAction::Set };
    clap = with_value(clap.action(action).value_name(name), value);
    match flag.bare {
        Some(bare) => clap.num_args(0..=1).require_equals(true).default_missing_value(bare),
        None => clap.allow_hyphen_values(false),
    }
}

/// The help with the default and the environment variables, which we fill in ourselves.
pub fn flag_help(flag: &Flag) -> String {
    let mut help = flag.about.to_owned();
    if let Some(default) = flag.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    if !flag.env.is_empty() {
        help.push_str(&format!(" [env: {}]", flag.env.join(", ")));
    }
    help
}

fn with_value(clap: Arg, value: Value) -> Arg {
    match value {
        Value::Choice(words) => clap.value_parser(PossibleValuesParser::new(words)),
        Value::Path => clap.value_parser(ValueParser::os_string()).value_hint(ValueHint::AnyPath),
        Value::HomePath => clap.value_parser(ValueParser::os_string()),
        _ => clap.value_parser(ValueParser::os_string()).value_hint(ValueHint::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn call(line: &[&str]) -> Invocation {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        match parse_words(&words, &|_| None) {
            Parsed::Run(call) => *call,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    fn refusal(line: &[&str]) -> (String, Kind, bool) {
        let words: Vec<OsString> = line.iter().map(OsString::from).collect();
        match parse_words(&words, &|_| None) {
            Parsed::Refused { text, kind, panel } => (text, kind, panel),
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn clap_finds_no_fault_with_the_table() {
        clap_command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_behind_the_command() {
        let before = call(&["--repo", "/r", "ls", "latest"]);
        let behind = call(&["ls", "latest", "-r", "/r"]);
        for one in [before, behind] {
            assert_eq!(
                (one.text("repository"), one.text("SNAPSHOT")),
                (Some("/r"), Some("latest"))
            );
        }
    }

    #[test]
    fn the_environment_fills_in_and_the_option_wins() {
        let env = |name: &str| (name == "GHOSTSNAP_REPO").then(|| OsString::from("/env"));
        for (line, expected) in [("stats", "/env"), ("stats -r /arg", "/arg")] {
            let Parsed::Run(call) = parse_words(&words(line), &env) else { panic!() };
            assert_eq!(call.text("repository"), Some(expected));
        }
    }

    #[test]
    fn repeated_and_bare_options_and_defaults_arrive() {
        let backup = call(&["hestia", "backup", "-i", "a,b", "-i", "c", "--cleanup"]);
        assert_eq!(backup.texts("include"), ["a", "b", "c"]);
        assert_eq!((backup.number("keep-tarballs"), backup.has("cleanup")), (None, true));
        assert_eq!(call(&["check", "--read-data"]).text("read-data"), Some("100%"));
        assert_eq!(call(&["check", "--read-data=5%"]).text("read-data"), Some("5%"));
        assert!(!call(&["check"]).has("read-data"));
    }

    #[test]
    fn paths_may_hold_any_bytes_and_texts_may_not() {
        let odd = OsStr::from_bytes(b"/home/\xff").to_owned();
        let line = [OsString::from("backup"), odd.clone()];
        let Parsed::Run(call) = parse_words(&line, &|_| None) else { panic!() };
        assert_eq!(call.paths("PATH"), [Path::new(&odd)]);
        let line = [OsString::from("ls"), odd];
        assert!(matches!(
            parse_words(&line, &|_| None),
            Parsed::Refused { kind: Kind::Invalid, .. }
        ));
    }

    #[test]
    fn wrong_words_are_refused_as_hestia_would() {
        let (text, kind, panel) = refusal(&["backup", "--nonsense"]);
        assert!(text.starts_with("Error: unexpected argument '--nonsense'"), "{text}");
        assert!(text.contains("Usage: ghostsnap backup"), "{text}");
        assert_eq!((kind.exit_code(), panel), (1, false));
        assert_eq!(refusal(&["ls"]).1, Kind::Usage);
        assert_eq!(refusal(&["snapshots", "--last", "x"]).1, Kind::Invalid);
        assert_eq!(refusal(&["snapshots", "--format", "xml"]).1, Kind::Invalid);
        assert_eq!(refusal(&["check", "--read-data=0%"]).1, Kind::Invalid);
        assert_eq!(refusal(&[]).1, Kind::Usage);
        assert!(!refusal(&["back\x1b[2Jup"]).0.contains('\x1b'));
    }

    #[test]
    fn help_and_version_are_answers() {
        for line in ["--help", "backup --help", "hestia restore -h", "--version"] {
            assert!(matches!(parse_words(&words(line), &|_| None), Parsed::Text(_)), "{line}");
        }
    }

    #[test]
    fn a_shim_takes_positions_in_hestias_order() {
        let restore = call(&[
            "--panel",
            "v-ghostsnap-restore-user",
            "alice",
            "latest",
            "a.example",
            "no",
            "",
            "*",
            "no",
            "no",
            "yes",
        ]);
        assert_eq!(restore.command().name, "hestia restore");
        assert_eq!(restore.text("USER"), Some("alice"));
        assert_eq!(restore.text("web"), Some("a.example"));
        assert_eq!((restore.text("dns"), restore.text("mail")), (Some("no"), Some("*")));
        assert!(restore.has("notify") && restore.has("force") && restore.has("panel"));
        let short = call(&["--panel", "v-ghostsnap-restore-user", "alice", "latest"]);
        assert_eq!((short.text("web"), short.has("notify")), (Some("*"), false));
        let one = call(&["v-ghostsnap-restore-dns-domain", "alice", "latest", "a.example"]);
        assert_eq!((one.text("dns"), one.text("web")), (Some("a.example"), None));
    }

    #[test]
    fn what_a_shim_gets_is_never_an_option() {
        let (_, kind, panel) = refusal(&["--panel", "v-ghostsnap-backup-user", "--help"]);
        assert_eq!((kind, panel), (Kind::Invalid, true));
        let odd = call(&["--panel", "v-ghostsnap-list-user-backup", "alice", "--config=/x"]);
        assert_eq!(odd.text("SNAPSHOT"), Some("--config=/x"));
        assert_eq!(odd.text("config"), Some("/etc/ghostsnap/ghostsnap.toml"));
    }

    #[test]
    fn a_shim_refuses_what_it_cannot_use() {
        let (text, kind, _) = refusal(&["--panel", "v-ghostsnap-restore-user", "alice"]);
        assert!(text.starts_with("Usage: v-ghostsnap-restore-user USER SNAPSHOT [WEB]"), "{text}");
        assert_eq!(kind, Kind::Usage);
        for user in ["", "../etc", "a b", "alice\n", ".alice", "-u", "a;b"] {
            let (_, kind, _) = refusal(&["--panel", "v-ghostsnap-backup-user", user]);
            assert_eq!(kind, Kind::Invalid, "{user}");
        }
        let (_, kind, _) = refusal(&["--panel", "v-ghostsnap-list-user-backups", "alice", "xml"]);
        assert_eq!(kind, Kind::Invalid);
        assert_eq!(refusal(&["--panel", "v-ghostsnap-nonsense"]).1, Kind::NotFound);
    }

    #[test]
    fn shares_are_read_in_thousandths() {
        for (text, share) in [("5%", Some(50)), ("0.1%", Some(1)), ("100", Some(1000))] {
            assert_eq!(percent(text), share, "{text}");
        }
        for text in ["0", "101%", "x", "1.25%", "-1%", ""] {
            assert_eq!(percent(text), None, "{text}");
        }
    }
}
