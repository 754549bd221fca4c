// SPDX-License-Identifier: MIT
//! What customers decide about their own backups, where the settings allow it: when, and what of
//! their own files stays out. `/etc/ghostsnap/customers/USER.toml` belongs to root and is written
//! by commands alone, from what is hostile input: it is bounded in number and length, can only make
//! the backup of the customer's own files smaller, and only say when that customer's own backup
//! begins.
//!
//! A file says of which person it is: whoever gets the name of a deleted user begins anew.

use super::inventory::User;
use super::layout::UserName;
use super::named::{read_private_within, write_private};
use super::queue::when::When;
use super::setting_file;
use crate::base::{Error, Kind, RelPath, Result, World, settings_limits};
use crate::tree::Selection;
use crate::tree::select::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of these files, beside ghostsnap.toml.
pub const FOLDER: &str = "customers";

/// What a customer may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct May {
    /// When the own backup begins, beside whatever the administrator does.
    pub schedule: bool,
    /// What of the own files stays out.
    pub exclude: bool,
}

/// The same as it is written, for all, for a package or for a user.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenMay {
    schedule: Option<bool>,
    exclude: Option<bool>,
}

impl WrittenMay {
    /// What it says where nothing else counts.
    pub(super) fn may(self) -> May {
        May { schedule: self.schedule.unwrap_or(false), exclude: self.exclude.unwrap_or(false) }
    }
}

/// What customers may decide, by the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    pub(super) all: May,
    pub(super) packages: BTreeMap<String, WrittenMay>,
    pub(super) users: BTreeMap<String, WrittenMay>,
}

impl Allowed {
    /// What this user may: what is said of the user, else of the package, else of all.
    pub fn of(&self, user: &User) -> May {
        let own = self.users.get(user.name.as_str()).copied().unwrap_or_default();
        let package = self.packages.get(user.package()).copied().unwrap_or_default();
        May {
            schedule: own.schedule.or(package.schedule).unwrap_or(self.all.schedule),
            exclude: own.exclude.or(package.exclude).unwrap_or(self.all.exclude),
        }
    }
}

/// What a customer has decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wishes {
    /// Who it was, of all who had this name.
    person: String,
    /// When the own backup begins; empty for never.
    #[serde(default)]
    pub when: String,
    /// Globs of what stays out, as paths in the home.
    #[serde(default)]
    pub exclude: Vec<String>,
}

fn path_of(folder: &Path, user: &UserName) -> PathBuf {
    folder.join(format!("{user}.toml"))
}

/// What this person has decided; nothing, if it was somebody else of the same name.
pub fn read(folder: &Path, user: &User) -> Result<Wishes> {
    let path = path_of(folder, &user.name);
    let text = read_private_within(&path, settings_limits::WISHES_BYTES_MAX)?;
    let wishes = match text {
        None => Wishes::default(),
        Some(text) => toml::from_str::<Wishes>(&text).map_err(|error| {
            Error::new(Kind::Invalid, format!("read {}", path.display()))
                .why(error.message().trim().replace('\n', "; "))
        })?,
    };
    if wishes.person != user.identity {
        return Ok(Wishes { person: user.identity.clone(), ..Wishes::default() });
    }
    // Whoever wrote it, nothing unbounded comes into a backup or a queue.
    check_excludes(&wishes.exclude)?;
    Ok(Wishes { when: normal_when(&wishes.when)?, ..wishes })
}

/// Changes what a person has decided.
pub fn change(
    folder: &Path,
    user: &User,
    world: &World,
    change: impl FnOnce(&mut Wishes),
) -> Result<()> {
    if user.identity.is_empty() {
        return Err(Error::new(Kind::Disabled, format!("note what {} decides", user.name))
            .why("Hestia does not say when this user was made, so a later one could not be told"));
    }
    super::call::private_folder(folder)?;
    let _held = setting_file::lock(folder, world)?;
    // One that is broken is written anew: nothing else would mend it.
    let new = Wishes { person: user.identity.clone(), ..Wishes::default() };
    let mut wishes = read(folder, user).unwrap_or(new);
    change(&mut wishes);
    check_excludes(&wishes.exclude)?;
    let what = || format!("note what {} decides", user.name);
    let text = toml::to_string(&wishes)
        .map_err(|error| Error::new(Kind::Internal, what()).cause(error))?;
    write_private(folder, &path_of(folder, &user.name), text.as_bytes(), false)
}

/// Refuses what would be too much, or more than the customer's own.
pub fn check_excludes(globs: &[String]) -> Result<()> {
    let refused = |why: String| Err(Error::new(Kind::Invalid, "leave that out").why(why));
    let most = settings_limits::WISHES_EXCLUDES_MAX;
    if globs.len() > most {
        return refused(format!("{} are more than {most}", globs.len()));
    }
    for glob in globs {
        let bytes_max = settings_limits::WISHES_EXCLUDE_BYTES_MAX;
        if glob.len() > bytes_max {
            return refused(format!("one has more than {bytes_max} bytes"));
        }
        if glob.trim().is_empty() || glob.chars().any(char::is_control) {
            return refused("one is empty, or holds a letter that no list shows".to_owned());
        }
        let shown = glob.escape_debug();
        let mut parts = glob.split('/').filter(|part| !part.is_empty()).peekable();
        if parts.peek().is_none() || parts.any(|part| [".", ".."].contains(&part)) {
            return refused(format!("'{shown}' is no path in the home"));
        }
        // Each file of the home is compared with each of them.
        let wild = glob.chars().filter(|letter| "*?[{".contains(*letter)).count();
        if wild > settings_limits::WISHES_WILDCARDS_MAX {
            let most = settings_limits::WISHES_WILDCARDS_MAX;
            return refused(format!("'{shown}' has more than {most} wildcards"));
        }
        if leaves_all_out(glob)? {
            return refused(format!("'{shown}' leaves everything out"));
        }
    }
    Selection::new::<String>(&[], globs).map(drop)
}

/// Whether a glob takes whatever there is: no two of these names have anything in common.
fn leaves_all_out(glob: &str) -> Result<bool> {
    let selection = Selection::new::<String>(&[], &[glob.to_owned()])?;
    let names = ["web", "mail", "Q7", "x.html"].map(|name| RelPath::parse(name.as_bytes()));
    let is_left = |path: Result<RelPath>| Ok(selection.verdict(&path?, true) == Verdict::Leave);
    names
        .into_iter()
        .map(is_left)
        .collect::<Result<Vec<bool>>>()
        .map(|all| all.iter().all(|one| *one))
}

/// A time as it is kept: at most once a day, and written in one way.
pub fn normal_when(text: &str) -> Result<String> {
    let shown = || text.escape_debug().take(80).collect::<String>();
    let refused = || {
        Error::new(Kind::Invalid, format!("take '{}' for a time of an own backup", shown()))
            .why("write `daily 02:30`, `weekly sun 03:00` or `monthly 1 04:00`")
    };
    if text.trim().is_empty() {
        return Ok(String::new());
    }
    if text.len() > settings_limits::WISHES_WHEN_BYTES_MAX {
        return Err(refused());
    }
    let lower = text.to_ascii_lowercase();
    let words: Vec<&str> = lower.split_ascii_whitespace().collect();
    // Stricter than the administrator's: a star or a list would be many times a day.
    let is_number = |word: &str, most: u8| {
        let digits = (1..=2).contains(&word.len()) && word.bytes().all(|one| one.is_ascii_digit());
        digits && word.parse::<u8>().is_ok_and(|number| number <= most)
    };
    let is_clock = |time: &str| {
        time.split_once(':').is_some_and(|(hour, minute)| {
            minute.len() == 2 && is_number(hour, 23) && is_number(minute, 59)
        })
    };
    let fits = match words.as_slice() {
        ["daily", time] => is_clock(time),
        ["weekly", day, time] => WEEKDAYS.contains(day) && is_clock(time),
        ["monthly", day, time] => is_number(day, 31) && is_clock(time),
        _ => false,
    };
    if !fits {
        return Err(refused());
    }
    let normal = words.join(" ");
    When::parse(&normal).map(|_| normal)
}

const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::conf::parse_keys;
    use proptest::prelude::*;

    fn user(name: &str, identity: &str) -> User {
        let (row, _) = parse_keys(b"PACKAGE='gold'\n");
        User { name: UserName::parse(name).unwrap(), row, identity: identity.to_owned() }
    }

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&one| one.to_owned()).collect()
    }

    #[test]
    fn a_user_goes_before_the_package_and_the_package_before_all() {
        let may = |schedule, exclude| WrittenMay { schedule, exclude };
        let allowed = Allowed {
            all: may(Some(true), None).may(),
            packages: [("gold".to_owned(), may(Some(false), Some(true)))].into(),
            users: [("alice".to_owned(), may(Some(true), None))].into(),
        };
        assert_eq!(allowed.of(&user("alice", "x")), May { schedule: true, exclude: true });
        assert_eq!(allowed.of(&user("bob", "x")), May { schedule: false, exclude: true });
        assert_eq!(Allowed::default().of(&user("bob", "x")), May::default());
    }

    #[test]
    fn what_one_person_decided_is_nothing_to_the_next_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("customers");
        let world = World::system();
        let (first, second) = (user("alice", "2026-01-01"), user("alice", "2026-09-09"));
        assert_eq!(read(&folder, &first).unwrap().exclude, [""; 0]);
        change(&folder, &first, &world, |one| one.exclude = texts(&["videos"])).unwrap();
        change(&folder, &first, &world, |one| one.when = "daily 03:00".to_owned()).unwrap();
        let kept = read(&folder, &first).unwrap();
        assert_eq!((kept.exclude, kept.when.as_str()), (texts(&["videos"]), "daily 03:00"));
        let other = read(&folder, &second).unwrap();
        assert_eq!((other.exclude, other.when.as_str()), (vec![], ""));
        change(&folder, &second, &world, |one| one.when = "daily 04:00".to_owned()).unwrap();
        assert_eq!(read(&folder, &first).unwrap().exclude, [""; 0]);
        // Nobody can be told from nobody.
        assert!(change(&folder, &user("bob", ""), &world, |_| ()).is_err());
        assert!(!folder.join("bob.toml").exists());
    }

    #[test]
    fn a_broken_file_is_an_error_and_a_change_mends_it() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("customers");
        let world = World::system();
        let alice = user("alice", "2026-01-01");
        for text in [
            "nonsense",
            "person = '2026-01-01'\nexclude = ['*']",
            "person = '2026-01-01'\nwhen = '* * * * *'",
            "person = '2026-01-01'\nshell = 'x'",
        ] {
            write_private(&folder, &folder.join("alice.toml"), text.as_bytes(), false).unwrap();
            assert!(read(&folder, &alice).is_err(), "{text}");
            change(&folder, &alice, &world, |one| one.exclude = texts(&["a"])).unwrap();
            assert_eq!(read(&folder, &alice).unwrap().exclude, ["a"]);
        }
    }

    #[test]
    fn an_exclusion_is_a_bounded_path_in_the_home_and_never_everything() {
        check_excludes(&texts(&["/web/*/public_html/cache", "node_modules", "*.iso", "a/**/b"]))
            .unwrap();
        check_excludes(&[]).unwrap();
        for bad in [
            "",
            " ",
            "/",
            "//",
            "*",
            "**",
            "/*",
            "**/*",
            "/**/",
            "../bob",
            "a/../../b",
            "./a",
            "a\nb",
            "a\u{0}",
            "a[b",
            "{a",
        ] {
            assert!(check_excludes(&texts(&[bad])).is_err(), "{bad:?}");
        }
        assert!(check_excludes(&["x".repeat(201)]).is_err());
        check_excludes(&vec!["x".to_owned(); 50]).unwrap();
        assert!(check_excludes(&vec!["x".to_owned(); 51]).is_err());
    }

    #[test]
    fn an_own_backup_is_at_most_once_a_day() {
        for (text, kept) in [
            ("", ""),
            (" Daily  2:30 ", "daily 2:30"),
            ("weekly SUN 03:00", "weekly sun 03:00"),
            ("monthly 31 23:59", "monthly 31 23:59"),
        ] {
            assert_eq!(normal_when(text).unwrap(), kept);
        }
        for bad in [
            "hourly",
            "* * * * *",
            "0 3 * * *",
            "daily *:00",
            "daily */1:00",
            "daily 25:00",
            "daily 1:5",
            "daily 01:60",
            "weekly * 03:00",
            "weekly mon,tue 03:00",
            "weekly 1 03:00",
            "monthly */2 03:00",
            "monthly 1,2 03:00",
            "monthly 0 03:00",
            "monthly 32 03:00",
            "daily",
            "daily 02:30 x",
            "daily ١٢:٣٠",
            "daily 02:30\n* * * * *",
        ] {
            assert!(normal_when(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_kept_is_due_at_most_once_a_day(text in "[a-z0-9:*/, -]{0,24}") {
            use crate::base::Timestamp;
            use jiff::tz::TimeZone;
            if let Ok(kept) = normal_when(&text) && !kept.is_empty() {
                let when = When::parse(&kept).unwrap();
                let first = when.next(Timestamp::from_seconds(0), &TimeZone::UTC).unwrap();
                let second = when.next(first, &TimeZone::UTC).unwrap();
                prop_assert!(second.seconds - first.seconds >= 86_400);
            }
        }
    }
}
