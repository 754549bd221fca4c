// SPDX-License-Identifier: MIT
//! What of a user is meant: the arguments WEB DNS MAIL DB CRON UDIR, in the words of Hestia's
//! v-restore-user. Names are compared exactly here, where Hestia takes them for patterns.

use super::inventory::SECTIONS;
use crate::base::path::check_name;
use crate::base::{Error, Kind, Result};
use crate::format::snapshot::Object;
use crate::tree::Selection;

/// What of one section is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Choice {
    /// Everything.
    #[default]
    All,
    /// Nothing.
    Nothing,
    /// The objects of these names.
    Some(Vec<String>),
}

impl Choice {
    /// Reads one argument: empty or `*` is all, `no` is nothing, else a list with commas.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "" | "*" => return Ok(Self::All),
            "no" => return Ok(Self::Nothing),
            _ => {}
        }
        let names: Vec<String> =
            text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if names.is_empty() {
            return Err(Error::new(
                Kind::Invalid,
                format!("read '{}' as a list", text.escape_debug()),
            )
            .why("it names nothing; use '*' for all and 'no' for none"));
        }
        for name in &names {
            check_name(name.as_bytes())?;
        }
        Ok(Self::Some(names))
    }

    /// Whether the object of this name is meant.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Some(names) => names.iter().any(|one| one == name),
        }
    }

    /// Whether nothing is meant.
    pub fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// What of a user is meant, section by section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sections {
    /// Web domains.
    pub web: Choice,
    /// DNS zones.
    pub dns: Choice,
    /// Mail domains.
    pub mail: Choice,
    /// Databases.
    pub db: Choice,
    /// Cron jobs: all or none, as in Hestia.
    pub cron: Choice,
    /// Entries of the home.
    pub udir: Choice,
}

impl Sections {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Nothing; the start for choosing one thing.
    pub fn nothing() -> Self {
        let no = || Choice::Nothing;
        Self { web: no(), dns: no(), mail: no(), db: no(), cron: no(), udir: no() }
    }

    /// Reads up to six arguments in the order WEB DNS MAIL DB CRON UDIR; those left out mean all.
    pub fn parse<S: AsRef<str>>(arguments: &[S]) -> Result<Self> {
        if arguments.len() > SECTIONS.len() {
            return Err(Error::new(Kind::Usage, "read the selection")
                .why("there are six sections: WEB DNS MAIL DB CRON UDIR"));
        }
        let mut sections = Self::all();
        for (section, argument) in SECTIONS.into_iter().zip(arguments) {
            let choice = Choice::parse(argument.as_ref())?;
            // Hestia restores all jobs whatever is given here but `no`.
            let choice = match (section, choice) {
                ("CRON", Choice::Some(_)) => Choice::All,
                (_, choice) => choice,
            };
            if let Some(place) = sections.choice_mut(section) {
                *place = choice;
            }
        }
        Ok(sections)
    }

    /// The choice of one section, by Hestia's word for it.
    pub fn choice(&self, section: &str) -> &Choice {
        match section {
            "WEB" => &self.web,
            "DNS" => &self.dns,
            "MAIL" => &self.mail,
            "DB" => &self.db,
            "CRON" => &self.cron,
            "UDIR" => &self.udir,
            _ => &Choice::Nothing,
        }
    }

    fn choice_mut(&mut self, section: &str) -> Option<&mut Choice> {
        Some(match section {
            "WEB" => &mut self.web,
            "DNS" => &mut self.dns,
            "MAIL" => &mut self.mail,
            "DB" => &mut self.db,
            "CRON" => &mut self.cron,
            "UDIR" => &mut self.udir,
            _ => return None,
        })
    }

    /// Whether this object is meant.
    pub fn takes(&self, object: &Object) -> bool {
        match object.section.as_str() {
            "CRON" => !self.cron.is_nothing(),
            section => self.choice(section).takes(&object.name),
        }
    }

    /// Whether everything is meant.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// Whether nothing is meant.
    pub fn is_nothing(&self) -> bool {
        *self == Self::nothing()
    }

    /// Fails if an object is asked for by name that `objects` does not have.
    pub fn check_against(&self, objects: &[Object]) -> Result<()> {
        for section in SECTIONS {
            let Choice::Some(names) = self.choice(section) else { continue };
            for name in names {
                let found = objects.iter().any(|one| one.section == section && one.name == *name);
                if !found {
                    let has: Vec<&str> = objects
                        .iter()
                        .filter(|one| one.section == section)
                        .map(|one| one.name.as_str())
                        .collect();
                    let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("find {section} '{}' in the snapshot", name.escape_debug()),
                    )
                    .why(format!("of this section it has {has}")));
                }
            }
        }
        Ok(())
    }

    /// The same choice over the canonical tree; what tells whose backup it is comes along always.
    pub fn selection(&self) -> Result<Selection> {
        Selection::new(&self.includes(), &[])
    }

    /// The same without the content of sites, mailboxes and the home; the folders that hold it
    /// come along empty.
    pub fn configuration(&self) -> Result<Selection> {
        let content = ["/web/*/data/**", "/mail/*/accounts/**", "/user_dir/*/**"];
        Selection::new(&self.includes(), &content.map(str::to_owned))
    }

    fn includes(&self) -> Vec<String> {
        if self.is_all() {
            return Vec::new();
        }
        let mut include = vec!["/hestia".to_owned(), "/pam".to_owned()];
        for (section, folder) in
            [("WEB", "web"), ("DNS", "dns"), ("MAIL", "mail"), ("DB", "db"), ("UDIR", "user_dir")]
        {
            match self.choice(section) {
                Choice::All => include.push(format!("/{folder}")),
                Choice::Nothing => {}
                Choice::Some(names) => include.extend(
                    names.iter().map(|name| format!("/{folder}/{}", globset::escape(name))),
                ),
            }
        }
        if !self.cron.is_nothing() {
            include.push("/cron".to_owned());
        }
        include
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RelPath;
    use crate::tree::select::Verdict;

    fn object(section: &str, name: &str) -> Object {
        Object { section: section.into(), name: name.into() }
    }

    #[test]
    fn arguments_mean_what_they_mean_to_v_restore_user() {
        let sections = Sections::parse(&["a.example,b.example", "no", "", "*", "1"]).unwrap();
        assert!(sections.takes(&object("WEB", "a.example")));
        assert!(!sections.takes(&object("WEB", "aXexample")));
        assert!(!sections.takes(&object("DNS", "a.example")));
        assert!(sections.takes(&object("MAIL", "any")) && sections.takes(&object("DB", "any")));
        assert_eq!((sections.cron, sections.udir), (Choice::All, Choice::All));
        for bad in ["a/b", "..", ",", "x\0"] {
            assert_eq!(Choice::parse(bad).unwrap_err().kind(), Kind::Invalid, "{bad:?}");
        }
        assert_eq!(Sections::parse(&["no"; 7]).unwrap_err().kind(), Kind::Usage);
        assert!(Sections::parse(&["no"; 6]).unwrap().is_nothing());
    }

    #[test]
    fn the_tree_is_cut_by_exact_names_and_keeps_whose_it_is() {
        let sections =
            Sections::parse(&["a[1].example", "no", "no", "no", "no", "docs,.ssh"]).unwrap();
        let selection = sections.selection().unwrap();
        let verdict =
            |path: &str| selection.verdict(&RelPath::parse(path.as_bytes()).unwrap(), true);
        for taken in [
            "hestia",
            "hestia/user.conf",
            "pam",
            "web/a[1].example",
            "user_dir/docs",
            "user_dir/.ssh/x",
        ] {
            assert_eq!(verdict(taken), Verdict::Take, "{taken}");
        }
        for left in
            ["web/a1.example", "web/b.example", "mail", "db", "cron", "user_dir/docs2", "dns"]
        {
            assert_ne!(verdict(left), Verdict::Take, "{left}");
        }
        // `hestia` and `pam` are meant at the top only.
        assert_eq!(verdict("user_dir/hestia"), Verdict::Leave);
        assert!(Sections::all().selection().unwrap().is_all());
    }

    #[test]
    fn asking_for_what_is_not_there_is_an_error_that_says_what_is() {
        let objects = [object("DB", "alice_wp"), object("DB", "alice_shop")];
        let sections = Sections::parse(&["", "", "", "alice_wq"]).unwrap();
        let error = sections.check_against(&objects).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.one_line().contains("alice_wp, alice_shop"));
        Sections::parse(&["", "", "", "alice_wp"]).unwrap().check_against(&objects).unwrap();
    }
}
