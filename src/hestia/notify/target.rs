// SPDX-License-Identifier: MIT
//! Who is told: the receivers that the settings name, for the administrator and for customers.

use super::rules::{Digest, NotifyRules, Webhook, is_mail};
use crate::hestia::inventory::User;
use crate::hestia::layout::UserName;

/// How somebody is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// In the panel of this user.
    Panel(UserName),
    /// By mail to this address.
    Mail(String),
    /// By this webhook.
    Webhook(Box<Webhook>),
}

impl Way {
    /// Its word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Panel(_) => "panel",
            Self::Mail(_) => "mail",
            Self::Webhook(hook) => hook.preset.word(),
        }
    }
}

/// Somebody who is told things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What it is called, here and in the settings.
    pub name: String,
    /// The customer whose news these are, as a customer may know them; `None` for the
    /// administrator.
    pub of: Option<UserName>,
    /// How it is reached.
    pub way: Way,
    /// How often it gets a summary. Panels get none: what stands there stays until it is read.
    pub digest: Digest,
}

/// Everybody who is told, the administrator first. `root` is the administrator's user of the panel.
pub fn targets(rules: &NotifyRules, root: Option<&UserName>, users: &[User]) -> Vec<Target> {
    let mut all = Vec::new();
    if let Some(root) = root.filter(|_| rules.panel) {
        let way = Way::Panel(root.clone());
        all.push(Target { name: "panel".into(), of: None, way, digest: Digest::Never });
    }
    for address in &rules.mail {
        let way = Way::Mail(address.clone());
        all.push(Target { name: format!("mail {address}"), of: None, way, digest: rules.digest });
    }
    for (name, hook) in &rules.webhooks {
        let usual = if hook.user.is_some() { Digest::Never } else { rules.digest };
        all.push(Target {
            name: format!("webhook {name}"),
            of: hook.user.clone(),
            way: Way::Webhook(Box::new(hook.clone())),
            digest: hook.digest.unwrap_or(usual),
        });
    }
    for user in users {
        let customer = rules.of_user(user.name.as_str());
        let of = Some(user.name.clone());
        // The administrator's own account hears of itself with everybody else.
        let is_told = rules.panel && root == Some(&user.name);
        if customer.panel && !is_told {
            let name = format!("panel of {}", user.name);
            let way = Way::Panel(user.name.clone());
            all.push(Target { name, of: of.clone(), way, digest: Digest::Never });
        }
        // The address is the customer's own word.
        if customer.mail && is_mail(user.contact()) {
            let name = format!("mail of {}", user.name);
            let way = Way::Mail(user.contact().to_owned());
            all.push(Target { name, of, way, digest: customer.digest });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hestia::{Settings, conf};
    use std::path::Path;

    fn user(name: &str, contact: &str) -> User {
        let row = conf::parse_keys(format!("CONTACT='{contact}'\n").as_bytes()).0;
        User { name: UserName::parse(name).unwrap(), row, identity: String::new() }
    }

    #[test]
    fn everybody_whom_the_settings_name_is_told_and_nobody_else() {
        let text = "[notifications]\npanel = true\nmail = ['ops@a.example']\ndigest = 'daily'\n\
                    [notifications.users]\nmail = true\ndigest = 'weekly'\n\
                    [notifications.webhooks.a]\nurl_file = '/a'\n\
                    [notifications.webhooks.b]\nurl_file = '/b'\nuser = 'bob'\n\
                    [users.carol]\nnotifications = { mail = false, panel = true }\n";
        let settings = Settings::parse(text, Path::new("x")).unwrap();
        let users = [
            user("bob", "bob@b.example"),
            user("carol", "carol@c.example"),
            user("dave", "dave@d.example, everybody@d.example"),
        ];
        let root = UserName::parse("admin").unwrap();
        let all = targets(&settings.notifications, Some(&root), &users);
        let said: Vec<String> = all
            .iter()
            .map(|one| {
                let of = one.of.as_ref().map_or("the administrator", UserName::as_str);
                format!("{} ({of}, {:?})", one.name, one.digest)
            })
            .collect();
        assert_eq!(
            said,
            [
                "panel (the administrator, Never)",
                "mail ops@a.example (the administrator, Daily)",
                "webhook a (the administrator, Daily)",
                "webhook b (bob, Never)",
                "mail of bob (bob, Weekly)",
                "panel of carol (carol, Never)",
            ]
        );
    }
}
