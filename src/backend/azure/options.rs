// SPDX-License-Identifier: MIT
//! Where a container is and how it is reached: from an address and variables. Pure.

use crate::backend::open::has_steps;
use crate::backend::{Variables, lent};
use crate::base::{Error, Kind, Result, limits};
use azure_core::http::Url;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Where a repository in Azure Blob Storage is. Without `Debug`, so that no secret is printed by
/// mistake.
#[derive(Clone)]
pub struct AzureOptions {
    /// The storage account.
    pub account: String,
    /// The account's address, `https://ACCOUNT.blob.core.windows.net` unless said otherwise.
    pub endpoint: Url,
    /// The container.
    pub container: String,
    /// What all names begin with, without a slash at its ends; may be empty.
    pub prefix: String,
    /// What proves who asks.
    pub proof: Proof,
    /// Certificate authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
    /// Nothing can be removed.
    pub append_only: bool,
    /// Files above this are uploaded in blocks.
    pub whole_max: u64,
    /// Bytes of a block.
    pub block: u64,
}

/// What proves who asks.
#[derive(Clone)]
pub enum Proof {
    /// The key of the account, in base64: signs every request.
    Key(Zeroizing<String>),
    /// A shared access signature: a query that is added to every request.
    Signature(Zeroizing<String>),
    /// The identity that Azure gives this machine; of several, the one of this number.
    Identity(Option<String>),
}

/// The account, key and port that every emulator has; public knowledge.
const EMULATOR: [(&str, &str); 3] = [
    ("AccountName", "devstoreaccount1"),
    (
        "AccountKey",
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    ),
    ("BlobEndpoint", "http://127.0.0.1:10000/devstoreaccount1"),
];

impl AzureOptions {
    /// Reads `azure:container/prefix`; account and proof are variables.
    pub fn new(address: &str, variables: &Variables) -> Result<Self> {
        let path = address.strip_prefix("azure:").unwrap_or(address);
        if path.starts_with('/') || path.contains(['?', '@', ':']) {
            return Err(wrong("what follows azure: is a container and a prefix"));
        }
        let (container, prefix) = path.split_once('/').unwrap_or((path, ""));
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(3..=63).contains(&container.len()) || !container.chars().all(fits) {
            return Err(wrong("a container's name has 3 to 63 small letters, digits and hyphens"));
        }
        if has_steps(prefix) {
            return Err(wrong("its prefix has . or .. in it"));
        }
        let told = Told::new(variables)?;
        let account = told
            .value("AccountName", "AZURE_STORAGE_ACCOUNT")
            .ok_or_else(|| lacks("AZURE_STORAGE_ACCOUNT is not set"))?;
        Ok(Self {
            endpoint: endpoint(&told, &account)?,
            proof: proof(&told)?,
            account,
            container: container.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            authorities: variables.get("GHOSTSNAP_CA_FILE").map(PathBuf::from),
            append_only: variables.flag("GHOSTSNAP_APPEND_ONLY")?,
            whole_max: limits::AZURE_WHOLE_BYTES_MAX,
            block: limits::AZURE_BLOCK_BYTES,
        })
    }
}

/// What a connection string says, and variables beside it, which count more.
struct Told<'v> {
    parts: Vec<(String, String)>,
    variables: &'v Variables,
}

impl<'v> Told<'v> {
    fn new(variables: &'v Variables) -> Result<Self> {
        let mut parts = Vec::new();
        if let Some(text) = variables.get("AZURE_STORAGE_CONNECTION_STRING") {
            for part in text.trim().split(';').filter(|part| !part.trim().is_empty()) {
                // A key ends in `=` itself: only the first one divides.
                let (name, value) = part.split_once('=').ok_or_else(|| {
                    Error::new(Kind::Invalid, "use AZURE_STORAGE_CONNECTION_STRING")
                        .why("one of its parts is not NAME=VALUE")
                })?;
                parts.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            let emulated = |(name, value): &(String, String)| {
                name == "UseDevelopmentStorage" && value.eq_ignore_ascii_case("true")
            };
            if parts.iter().any(emulated) {
                parts.extend(EMULATOR.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
        }
        Ok(Self { parts, variables })
    }

    fn part(&self, name: &str) -> Option<String> {
        let found = self.parts.iter().find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    fn value(&self, part: &str, variable: &str) -> Option<String> {
        let variable = self.variables.get(variable).map(|value| value.trim().to_owned());
        variable.or_else(|| self.part(part))
    }
}

fn endpoint(told: &Told<'_>, account: &str) -> Result<Url> {
    let usual = || {
        let protocol = told.part("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        let suffix = told.part("EndpointSuffix");
        let suffix = suffix.unwrap_or_else(|| "core.windows.net".to_owned());
        format!("{protocol}://{account}.blob.{suffix}")
    };
    let text = told.value("BlobEndpoint", "AZURE_STORAGE_BLOB_ENDPOINT").unwrap_or_else(usual);
    let unusable = |why: &str| {
        Error::new(Kind::Invalid, "use the address of the storage account").why(why.to_owned())
    };
    let url = Url::parse(&text).map_err(|_| unusable("it is no URL"))?;
    let names_somebody = !url.username().is_empty() || url.password().is_some();
    if names_somebody || url.query().is_some() || url.fragment().is_some() {
        return Err(unusable("it holds a name, a password or a query").hint(
            "keep secrets out of addresses: a signature belongs in AZURE_STORAGE_SAS_TOKEN",
        ));
    }
    let near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if near || told.variables.flag("GHOSTSNAP_ALLOW_HTTP")? => Ok(url),
        "http" => Err(unusable("http is not encrypted on its way")
            .hint("use https, or set GHOSTSNAP_ALLOW_HTTP=yes on a network of your own")),
        _ => Err(unusable("it is neither https nor http")),
    }
}

fn proof(told: &Told<'_>) -> Result<Proof> {
    if lent::is_meant(told.variables)? {
        let id = told.variables.get("AZURE_CLIENT_ID").map(|id| id.trim().to_owned());
        return Ok(Proof::Identity(id));
    }
    if let Some(key) = told.value("AccountKey", "AZURE_STORAGE_KEY") {
        if azure_core::base64::decode(&key).is_err() {
            return Err(lacks("AZURE_STORAGE_KEY is not in base64, as account keys are"));
        }
        return Ok(Proof::Key(Zeroizing::new(key)));
    }
    let signature = told.value("SharedAccessSignature", "AZURE_STORAGE_SAS_TOKEN");
    let signature = signature.ok_or_else(|| lacks("no key and no signature is set"))?;
    Ok(Proof::Signature(Zeroizing::new(signature.trim_start_matches('?').to_owned())))
}

fn lacks(why: &str) -> Error {
    Error::new(Kind::Usage, "reach the storage account").why(why.to_owned()).hint(
        "set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or AZURE_STORAGE_SAS_TOKEN, or \
         AZURE_STORAGE_CONNECTION_STRING; where Azure gives this machine an identity, \
         GHOSTSNAP_CREDENTIALS=instance",
    )
}

fn wrong(why: &str) -> Error {
    Error::new(Kind::Invalid, "use this Azure address")
        .why(why.to_owned())
        .hint("write azure:container/prefix and set AZURE_STORAGE_ACCOUNT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str, pairs: &'static [(&str, &str)]) -> Result<AzureOptions> {
        let variables = Variables::new(move |name| {
            pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned())
        });
        AzureOptions::new(address, &variables)
    }

    #[test]
    fn account_and_key_or_signature_are_variables() {
        let pairs = &[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "a2V5")];
        let one = read("azure:backups/server1/", pairs).unwrap();
        assert_eq!(one.endpoint.as_str(), "https://acme.blob.core.windows.net/");
        assert_eq!((one.container.as_str(), one.prefix.as_str()), ("backups", "server1"));
        assert!(matches!(one.proof, Proof::Key(key) if *key == "a2V5"));
        let pairs =
            &[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_SAS_TOKEN", "?sv=1&sig=x")];
        let one = read("azure:backups", pairs).unwrap();
        assert!(matches!(one.proof, Proof::Signature(text) if *text == "sv=1&sig=x"));
    }

    #[test]
    fn a_connection_string_says_it_all() {
        let pairs = &[(
            "AZURE_STORAGE_CONNECTION_STRING",
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5eQ==;\
             EndpointSuffix=core.chinacloudapi.cn",
        )];
        let one = read("azure:backups", pairs).unwrap();
        assert_eq!(one.endpoint.as_str(), "https://acme.blob.core.chinacloudapi.cn/");
        assert!(matches!(one.proof, Proof::Key(key) if *key == "a2V5eQ=="));
        let pairs = &[("AZURE_STORAGE_CONNECTION_STRING", "UseDevelopmentStorage=true")];
        let one = read("azure:backups", pairs).unwrap();
        assert_eq!(one.endpoint.as_str(), "http://127.0.0.1:10000/devstoreaccount1");
        assert_eq!(one.account, "devstoreaccount1");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_is() {
        let text = |address, pairs| read(address, pairs).err().unwrap().to_string();
        assert!(text("azure:backups", &[]).contains("AZURE_STORAGE_ACCOUNT is not set"));
        assert!(text("azure:Backups", &[]).contains("small letters"));
        assert!(text("azure://acme/backups", &[]).contains("a container and a prefix"));
        assert!(text("azure:backups/a/../b", &[]).contains("has . or .. in it"));
        let pairs = &[("AZURE_STORAGE_ACCOUNT", "acme"), ("AZURE_STORAGE_KEY", "hush!")];
        let error = text("azure:backups", pairs);
        assert!(error.contains("base64") && !error.contains("hush"), "{error}");
        let pairs = &[
            ("AZURE_STORAGE_ACCOUNT", "acme"),
            ("AZURE_STORAGE_BLOB_ENDPOINT", "http://nas.example/acme"),
        ];
        assert!(text("azure:backups", pairs).contains("GHOSTSNAP_ALLOW_HTTP"));
    }

    #[test]
    fn an_address_of_an_account_holds_no_secret() {
        let endpoint = |url: &'static str| {
            let variables = Variables::new(move |name| match name {
                "AZURE_STORAGE_ACCOUNT" => Some("acme".to_owned()),
                "AZURE_STORAGE_KEY" => Some("a2V5".to_owned()),
                "AZURE_STORAGE_BLOB_ENDPOINT" => Some(url.to_owned()),
                _ => None,
            });
            AzureOptions::new("azure:backups", &variables)
        };
        for url in [
            "https://acme.example/?sig=hush",
            "https://acme:hush@acme.example",
            "https://hush@acme.example",
            "https://acme.example/#hush",
        ] {
            let error = endpoint(url).err().unwrap().to_string();
            assert!(!error.contains("hush"), "{error}");
            assert!(error.contains("AZURE_STORAGE_SAS_TOKEN"), "{error}");
        }
        assert!(endpoint("https://acme.example/acme/").is_ok());
    }
}
