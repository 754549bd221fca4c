// SPDX-License-Identifier: MIT
//! THE TABLE: what every command is called, takes, prints and does, as data. The parser, the
//! help, the shims of the panel, the API permissions, the man pages, the completions and the
//! reference in docs/ are all made from it. The rows are in [`super::table_engine`] and
//! [`super::table_hestia`]; this file says what a row is.

use super::args::Invocation;
use super::table_engine::ENGINE;
use super::table_files::FILES;
use super::table_hestia::HESTIA;
use super::table_monitoring::MONITORING;
use super::table_notify::NOTIFY;
use super::table_own::OWN;
use super::table_queue::QUEUE;
use super::table_repositories::REPOSITORIES;
use super::table_schedules::SCHEDULES;
use super::table_settings::SETTINGS;
use super::{Context, table_flags};
use crate::base::Result;

/// What a command does when it is called.
pub type Run = fn(&Context, &Invocation) -> Result<()>;

/// Who may call a shim through the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server's administrator.
    Admin,
    /// A hosting customer, for the objects of that customer alone.
    User,
}

/// What a command does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Looks only.
    Read,
    /// Adds something.
    Write,
    /// Removes or overwrites something; asks first.
    Destroy,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Printable text.
    Text,
    /// Several texts, separated by commas where they come as one argument.
    List,
    /// A path on this machine, any bytes.
    Path,
    /// A path in the user's home as the user knows it, any bytes.
    HomePath,
    /// A whole number.
    Number,
    /// A share such as `5%`.
    Percent,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `yes` sets the switch, `no` or nothing leaves it.
    YesNo,
}

/// A positional argument.
#[derive(Debug, Clone, Copy)]
pub struct Arg {
    /// What it is called in the usage line; also what the code asks for.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// What it must look like.
    pub value: Value,
    /// Whether it must be there.
    pub required: bool,
    /// Whether several may be given.
    pub many: bool,
}

impl Arg {
    /// A required argument.
    pub const fn new(name: &'static str, about: &'static str, value: Value) -> Self {
        Self { name, about, value, required: true, many: false }
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    /// May be given several times.
    #[must_use]
    pub const fn many(self) -> Self {
        Self { many: true, ..self }
    }
}

/// An option.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// The name behind the two dashes; also what the code asks for.
    pub long: &'static str,
    /// The letter behind one dash.
    pub short: Option<char>,
    /// Other long names.
    pub also: &'static [&'static str],
    /// What it means.
    pub about: &'static str,
    /// Name and look of its value; `None` for a switch.
    pub value: Option<(&'static str, Value)>,
    /// The value it has where only the option's name is given.
    pub bare: Option<&'static str>,
    /// The value it has where it is not given.
    pub default: Option<&'static str>,
    /// Environment variables that stand in for it, the first one set counts.
    pub env: &'static [&'static str],
    /// Whether it may be given several times.
    pub many: bool,
    /// Left out of the help.
    pub hidden: bool,
}

impl Flag {
    /// A switch.
    pub const fn new(long: &'static str, about: &'static str) -> Self {
        Self {
            long,
            short: None,
            also: &[],
            about,
            value: None,
            bare: None,
            default: None,
            env: &[],
            many: false,
            hidden: false,
        }
    }

    /// With a letter.
    #[must_use]
    pub const fn short(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// With other names.
    #[must_use]
    pub const fn also(self, names: &'static [&'static str]) -> Self {
        Self { also: names, ..self }
    }

    /// With a value.
    #[must_use]
    pub const fn value(self, name: &'static str, value: Value) -> Self {
        Self { value: Some((name, value)), ..self }
    }

    /// The value behind `=` may be left out and is this then.
    #[must_use]
    pub const fn bare(self, value: &'static str) -> Self {
        Self { bare: Some(value), ..self }
    }

    /// With a default.
    #[must_use]
    pub const fn default(self, value: &'static str) -> Self {
        Self { default: Some(value), ..self }
    }

    /// With environment variables that stand in.
    #[must_use]
    pub const fn env(self, names: &'static [&'static str]) -> Self {
        Self { env: names, ..self }
    }

    /// May be given several times.
    #[must_use]
    pub const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    /// Left out of the help.
    #[must_use]
    pub const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }
}

/// What a column holds; decides how a person sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text.
    Text,
    /// Bytes that are mostly text, such as a file's name.
    Raw,
    /// An id; people see its first eight digits.
    Id,
    /// A number.
    Count,
    /// A number of bytes; people see it with a unit.
    Bytes,
    /// A number of mebibytes, as Hestia counts; people see it with a unit.
    Mib,
    /// Names separated by commas.
    List,
    /// `yes` or `no`.
    YesNo,
}

/// One column of a command's output.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name: upper case, Hestia's word where Hestia has one.
    pub name: &'static str,
    /// What it holds.
    pub holds: Holds,
    /// What it means.
    pub about: &'static str,
    /// Whether the formats for people (`shell`, `table`) show it.
    pub shown: bool,
}

/// A column that every format shows.
pub const fn col(name: &'static str, holds: Holds, about: &'static str) -> Column {
    Column { name, holds, about, shown: true }
}

/// A column of the formats for programs only.
pub const fn wide(name: &'static str, holds: Holds, about: &'static str) -> Column {
    Column { name, holds, about, shown: false }
}

/// Whom the first argument of a shim names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Nobody: the shim takes no user.
    Nobody,
    /// A user that exists.
    Live,
    /// A user that may have been deleted, which is when backups matter.
    LiveOrGone,
}

/// One positional argument of a shim, in Hestia's order.
#[derive(Debug, Clone, Copy)]
pub struct ShimArg {
    /// Upper case, as in Hestia's usage lines.
    pub name: &'static str,
    /// What it means.
    pub about: &'static str,
    /// The argument or option of the command it becomes.
    pub to: &'static str,
    /// What it must look like.
    pub value: Value,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it takes all words to the end.
    pub many: bool,
    /// What an empty or missing one means.
    pub default: Option<&'static str>,
    /// The check of Hestia's own that fits it, if there is one.
    pub check: Option<&'static str>,
}

impl ShimArg {
    /// A required argument.
    pub const fn new(
        name: &'static str,
        to: &'static str,
        about: &'static str,
        value: Value,
    ) -> Self {
        Self { name, about, to, value, required: true, many: false, default: None, check: None }
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self { required: false, ..self }
    }

    /// Takes all words to the end.
    #[must_use]
    pub const fn many(self) -> Self {
        Self { many: true, ..self }
    }

    /// Means this where it is empty or missing.
    #[must_use]
    pub const fn default(self, value: &'static str) -> Self {
        Self { default: Some(value), required: false, ..self }
    }

    /// Checked by Hestia's own rule of this name first.
    #[must_use]
    pub const fn check(self, rule: &'static str) -> Self {
        Self { check: Some(rule), ..self }
    }
}

/// A command of the panel: a bash file with Hestia's header and checks around one call.
#[derive(Debug, Clone, Copy)]
pub struct Shim {
    /// Its file name in Hestia's `bin`.
    pub name: &'static str,
    /// One line, lower case, no period.
    pub about: &'static str,
    /// What its reader should know, in sentences.
    pub details: &'static str,
    /// A call that works.
    pub example: &'static str,
    /// Who may call it through the API.
    pub role: Role,
    /// Whom its first argument names.
    pub owner: Owner,
    /// Its arguments.
    pub args: &'static [ShimArg],
    /// Options it always sets.
    pub fixed: &'static [&'static str],
}

impl Shim {
    /// `USER SNAPSHOT [WEB]`: the words of its usage line and of its `# options:` header.
    pub fn usage(&self) -> String {
        let word = |arg: &ShimArg| {
            let more = if arg.many { "..." } else { "" };
            let name = format!("{}{more}", arg.name);
            if arg.required { name } else { format!("[{name}]") }
        };
        let words: Vec<String> = self.args.iter().map(word).collect();
        if words.is_empty() { "NONE".to_owned() } else { words.join(" ") }
    }

    /// How many arguments it must have.
    pub fn required(&self) -> usize {
        self.args.iter().filter(|arg| arg.required).count()
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// The words behind `ghostsnap`.
    pub name: &'static str,
    /// One line, lower case, no period.
    pub about: &'static str,
    /// What its reader should know, in sentences.
    pub details: &'static str,
    /// Calls that work.
    pub examples: &'static [&'static str],
    /// Its positional arguments.
    pub args: &'static [Arg],
    /// Its options, besides those of all commands.
    pub flags: &'static [Flag],
    /// What it does to the world.
    pub effect: Effect,
    /// Whether it may take long: reports progress, can be stopped.
    pub long: bool,
    /// What it prints, if it prints rows.
    pub columns: &'static [Column],
    /// The panel's commands that end here.
    pub shims: &'static [Shim],
    /// Left out of the help.
    pub hidden: bool,
    /// What it does.
    pub run: Run,
}

impl Command {
    /// All its options: its own and those of all commands.
    pub fn all_flags(&self) -> impl Iterator<Item = &'static Flag> + use<> {
        self.flags.iter().chain(table_flags::GLOBAL)
    }
}

/// The words that have commands below them, and what they are about.
pub const GROUPS: &[(&str, &str)] = &[
    ("key", "list, add, change and remove the keys that open a repository"),
    ("repair", "mend a damaged repository"),
    ("repository", "repositories with a name: add, list, change, delete, test"),
    ("hestia", "back up and restore HestiaCP users"),
];

/// Every command.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    let engine = ENGINE.iter().chain(REPOSITORIES);
    let panel = HESTIA.iter().chain(FILES).chain(QUEUE).chain(SCHEDULES).chain(OWN).chain(SETTINGS);
    engine.chain(panel).chain(NOTIFY).chain(MONITORING)
}

/// Every shim with the command it belongs to, sorted by name.
pub fn shims() -> Vec<(&'static Command, &'static Shim)> {
    let mut all: Vec<_> =
        commands().flat_map(|one| one.shims.iter().map(move |shim| (one, shim))).collect();
    all.sort_by_key(|(_, shim)| shim.name);
    all
}

/// The command of this name.
pub fn command(name: &str) -> Option<&'static Command> {
    commands().find(|one| one.name == name)
}

/// The shim of this name with its command.
pub fn shim(name: &str) -> Option<(&'static Command, &'static Shim)> {
    commands()
        .find_map(|one| one.shims.iter().find(|shim| shim.name == name).map(|shim| (one, shim)))
}

#[cfg(test)]
mod tests {
    use super::super::args::{Parsed, parse_words};
    use super::super::words::split_words;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = BTreeSet::new();
        for one in commands() {
            assert!(seen.insert(one.name), "{}", one.name);
            assert_eq!(one.name, one.name.to_lowercase());
            if let Some((group, _)) = one.name.split_once(' ') {
                assert!(GROUPS.iter().any(|(name, _)| *name == group), "{group}");
            }
        }
        let all = shims();
        let names: BTreeSet<_> = all.iter().map(|(_, shim)| shim.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().all(|name| name.starts_with("v-ghostsnap-")));
    }

    #[test]
    fn arguments_of_one_command_do_not_share_a_name() {
        for one in commands() {
            let (mut names, mut letters) = (BTreeSet::new(), BTreeSet::new());
            for flag in one.all_flags() {
                for name in flag.also.iter().chain([&flag.long]) {
                    assert!(names.insert(*name), "{} --{name}", one.name);
                }
                if let Some(letter) = flag.short {
                    assert!(letters.insert(letter), "{} -{letter}", one.name);
                }
            }
            for arg in one.args {
                assert!(names.insert(arg.name), "{} {}", one.name, arg.name);
                assert_eq!(arg.name, arg.name.to_uppercase());
            }
        }
    }

    #[test]
    fn what_every_row_says_is_complete() {
        for one in commands() {
            assert!(!one.about.is_empty() && !one.about.ends_with('.'), "{}", one.name);
            assert!(one.details.is_empty() || one.details.ends_with('.'), "{}", one.name);
            assert!(one.hidden || !one.examples.is_empty(), "{} has no example", one.name);
            let optional = one.args.iter().skip_while(|arg| arg.required);
            assert!(optional.clone().all(|arg| !arg.required), "{}", one.name);
            let mut columns = BTreeSet::new();
            for column in one.columns {
                assert!(columns.insert(column.name), "{} {}", one.name, column.name);
                assert_eq!(column.name, column.name.to_uppercase());
                assert!(!column.about.is_empty(), "{} {}", one.name, column.name);
            }
            assert!(one.columns.first().is_none_or(|first| first.shown), "{}", one.name);
        }
    }

    #[test]
    fn what_destroys_asks_first_and_never_belongs_to_a_reader() {
        for one in commands() {
            let force = one.flags.iter().any(|flag| flag.long == "force");
            let asks = one.effect == Effect::Destroy;
            assert!(!asks || force, "{} asks and cannot be told not to", one.name);
            for shim in one.shims {
                assert_eq!(asks, shim.fixed.contains(&"force"), "{}", shim.name);
            }
        }
    }

    #[test]
    fn a_shim_names_its_user_first_because_the_api_looks_there() {
        for (_, shim) in shims() {
            let position = shim.args.iter().position(|arg| arg.name == "USER");
            let expected = if shim.owner == Owner::Nobody { None } else { Some(0) };
            assert_eq!(position, expected, "{}", shim.name);
            if shim.role == Role::User {
                assert_ne!(shim.owner, Owner::Nobody, "{}: no owner check", shim.name);
            }
            let optional = shim.args.iter().skip_while(|arg| arg.required);
            assert!(optional.clone().all(|arg| !arg.required), "{}", shim.name);
        }
    }

    #[test]
    fn a_customer_never_chooses_a_path_or_a_repository() {
        for (_, shim) in shims().into_iter().filter(|(_, shim)| shim.role == Role::User) {
            let dangerous = |arg: &&ShimArg| {
                arg.value == Value::Path || ["repository", "output", "target"].contains(&arg.to)
            };
            assert!(!shim.args.iter().any(|arg| dangerous(&arg)), "{}", shim.name);
        }
    }

    #[test]
    fn what_a_shim_passes_on_exists_in_its_command() {
        for (one, shim) in shims() {
            for to in shim.args.iter().map(|arg| arg.to).chain(shim.fixed.iter().copied()) {
                let known = one.args.iter().any(|arg| arg.name == to)
                    || one.all_flags().any(|flag| flag.long == to);
                assert!(known, "{}: {to}", shim.name);
            }
            let mut sorted: Vec<_> = shim.args.iter().map(|arg| arg.to).collect();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), shim.args.len(), "{}", shim.name);
        }
    }

    #[test]
    fn every_example_parses_to_the_command_it_explains() {
        let shim_examples = shims().into_iter().map(|(one, shim)| (one, shim.example));
        let examples = commands().flat_map(|one| one.examples.iter().map(move |text| (one, *text)));
        for (one, example) in examples.chain(shim_examples) {
            let words = split_words(example).unwrap();
            let words: Vec<_> = words.into_iter().map(std::ffi::OsString::from).collect();
            match parse_words(&words, &|_| None) {
                Parsed::Run(call) => assert_eq!(call.command().name, one.name, "{example}"),
                Parsed::Text(text) | Parsed::Refused { text, .. } => panic!("{example}: {text}"),
            }
        }
    }
}
