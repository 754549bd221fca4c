// SPDX-License-Identifier: MIT
//! Paths as a customer knows them, below the home, and where the same things lie in the canonical
//! tree; back and forth. `web/D/...` is `web/D/data/...` there, `mail/D/...` is
//! `mail/D/accounts/...`, everything else is below `user_dir`.

use super::direct::idn;
use super::layout::{Hestia, UserName};
use crate::base::{Error, Kind, RelPath, Result};
use crate::format::Snapshot;
use std::os::unix::ffi::OsStrExt;

/// What a path below the home means in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// The home itself.
    Home,
    /// The folder of all web domains, or of all mail domains.
    Domains(RelPath),
    /// This place in the canonical tree.
    At(RelPath),
}

/// Reads a path that a person gave: relative to the home, or absolute and in it.
pub fn below_home(hestia: &Hestia, user: &UserName, given: &[u8]) -> Result<RelPath> {
    if !given.starts_with(b"/") {
        return RelPath::parse(given);
    }
    let home = RelPath::parse(hestia.user_home(user).as_os_str().as_bytes())?;
    let path = RelPath::parse(given)?;
    home.strip(&path).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("find /{path} in a backup of {user}"))
            .why(format!("it does not lie in the user's home /{home}"))
            .hint("paths are relative to the home, such as web/example.com/public_html")
    })
}

/// Where a path below the home lies in a snapshot.
pub fn meaning(snapshot: &Snapshot, path: &RelPath) -> Result<Meaning> {
    let names: Vec<&[u8]> = path.names().collect();
    let inside = |top: &[u8], domain: &[u8], inner: &[u8], rest: &[&[u8]]| {
        [top, domain, inner]
            .iter()
            .chain(rest)
            .try_fold(RelPath::root(), |path, name| path.join(name))
    };
    Ok(match names.as_slice() {
        [] => Meaning::Home,
        [b"web" | b"mail"] => Meaning::Domains(path.clone()),
        [b"web", domain, rest @ ..] => Meaning::At(inside(b"web", domain, b"data", rest)?),
        [b"mail", folder, rest @ ..] => {
            let domain = mail_domain(snapshot, folder);
            Meaning::At(inside(b"mail", domain.as_bytes(), b"accounts", rest)?)
        }
        [b"conf" | b"dns" | b"tmp", ..] => {
            return Err(Error::new(Kind::NotFound, format!("find {path} in the snapshot"))
                .why("configuration and temporary files are not kept as files of the user")
                .hint("a domain's configuration comes back with the domain"));
        }
        _ => Meaning::At(RelPath::parse(b"user_dir")?.join_path(path)?),
    })
}

/// The domain whose mails lie in a folder of this name: Hestia names it by the domain's ASCII form.
fn mail_domain(snapshot: &Snapshot, folder: &[u8]) -> String {
    let text = String::from_utf8_lossy(folder);
    let found = snapshot.objects_of("MAIL").find(|domain| ascii_domain(domain) == text);
    found.map_or_else(|| text.to_string(), str::to_owned)
}

/// Where something of the canonical tree lies below the home; `None` for what is no file of the
/// user.
pub fn home_path(tree: &RelPath) -> Result<Option<RelPath>> {
    let names: Vec<&[u8]> = tree.names().collect();
    let (start, rest): (Vec<Vec<u8>>, &[&[u8]]) = match names.as_slice() {
        [b"web", domain, b"data", rest @ ..] => (vec![b"web".to_vec(), domain.to_vec()], rest),
        [b"mail", domain, b"accounts", rest @ ..] => {
            let folder = ascii_domain(&String::from_utf8_lossy(domain));
            (vec![b"mail".to_vec(), folder.into_bytes()], rest)
        }
        [b"user_dir", rest @ ..] => (Vec::new(), rest),
        _ => return Ok(None),
    };
    let names = start.iter().map(Vec::as_slice).chain(rest.iter().copied());
    names.into_iter().try_fold(RelPath::root(), |path, name| path.join(name)).map(Some)
}

/// How Hestia names the folder of a domain's mails.
fn ascii_domain(domain: &str) -> String {
    idn::to_ascii(domain).unwrap_or_else(|| domain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::snapshot::Object;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    fn snapshot() -> Snapshot {
        let object = |name: &str| Object { section: "MAIL".into(), name: name.into() };
        let objects = vec![object("a.example"), object("b\u{fc}cher.example")];
        Snapshot { objects, ..Snapshot::default() }
    }

    #[test]
    fn a_path_of_the_home_is_found_in_the_tree_and_back() {
        for (home, tree) in [
            ("web/a.example", "web/a.example/data"),
            ("web/a.example/public_html/x", "web/a.example/data/public_html/x"),
            ("mail/a.example/info/cur/1", "mail/a.example/accounts/info/cur/1"),
            ("mail/xn--bcher-kva.example/info", "mail/b\u{fc}cher.example/accounts/info"),
            (".bashrc", "user_dir/.bashrc"),
            ("My Files/a", "user_dir/My Files/a"),
        ] {
            let found = meaning(&snapshot(), &path(home)).unwrap();
            assert_eq!(found, Meaning::At(path(tree)), "{home}");
            assert_eq!(home_path(&path(tree)).unwrap(), Some(path(home)), "{tree}");
        }
        assert_eq!(meaning(&snapshot(), &RelPath::root()).unwrap(), Meaning::Home);
        assert_eq!(meaning(&snapshot(), &path("web")).unwrap(), Meaning::Domains(path("web")));
        for not_files in ["conf", "conf/web/x", "tmp/a", "dns"] {
            assert!(meaning(&snapshot(), &path(not_files)).is_err());
        }
        for not_files in ["hestia/user.conf", "web/a.example/conf/x", "db/x"] {
            assert_eq!(home_path(&path(not_files)).unwrap(), None);
        }
    }

    #[test]
    fn absolute_paths_must_lie_in_the_home_of_that_user() {
        let (hestia, user) = (Hestia::default(), UserName::parse("bob").unwrap());
        let below = |text: &str| below_home(&hestia, &user, text.as_bytes());
        assert_eq!(below("/home/bob/web/x").unwrap(), path("web/x"));
        assert_eq!(below("./web//x/").unwrap(), path("web/x"));
        assert!(below("/home/bob").unwrap().is_root());
        for other in ["/home/bob.x/web", "/etc/passwd", "/", "../bob.x", "/home/bob/../alice"] {
            assert!(below(other).is_err(), "{other}");
        }
    }
}
