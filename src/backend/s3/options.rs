// SPDX-License-Identifier: MIT
//! Where a bucket is and how it is reached: from an address and variables. Pure.

use crate::backend::open::has_steps;
use crate::backend::{Variables, lent};
use crate::base::{Error, Kind, Result, limits};
use reqwest::Url;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A key pair for signing. It has no `Debug`, so that it cannot be printed by mistake.
#[derive(Clone)]
pub struct AccessKey {
    /// Its name.
    pub id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// What a temporary key has beside.
    pub token: Option<Zeroizing<String>>,
}

/// All that is needed to reach a repository in a bucket. Without `Debug`, as [`AccessKey`].
#[derive(Clone)]
pub struct S3Options {
    /// `https://host:port` of the store.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The bucket's name.
    pub bucket: String,
    /// What all names begin with, without a slash at its ends; may be empty.
    pub prefix: String,
    /// The bucket stands in the path rather than in the host name.
    pub path_style: bool,
    /// What requests are signed with; without it with what the provider lends to this machine.
    pub key: Option<AccessKey>,
    /// Certificate authorities to trust beside the system's.
    pub authorities: Option<PathBuf>,
    /// Nothing can be removed.
    pub append_only: bool,
    /// Files above this are uploaded in parts.
    pub whole_max: u64,
    /// Bytes of a part.
    pub part: u64,
}

impl S3Options {
    /// Reads `s3:https://host/bucket/prefix` or `s3://bucket/prefix`, which is at AWS.
    pub fn new(address: &str, variables: &Variables) -> Result<Self> {
        let rest = address.strip_prefix("s3:").unwrap_or(address);
        let named_region =
            variables.get("AWS_REGION").or_else(|| variables.get("AWS_DEFAULT_REGION"));
        let place = match rest.strip_prefix("//") {
            Some(path) => at_aws(path, named_region)?,
            None => at_endpoint(rest, named_region, variables)?,
        };
        let (bucket, prefix) = place.path.split_once('/').unwrap_or((&place.path, ""));
        if !is_bucket_name(bucket) {
            return Err(wrong("it names no bucket"));
        }
        if has_steps(prefix) {
            return Err(wrong("its prefix has . or .. in it"));
        }
        let path_style = match variables.get("GHOSTSNAP_S3_PATH_STYLE") {
            Some(_) => variables.flag("GHOSTSNAP_S3_PATH_STYLE")?,
            // A dot in the name does not fit into the certificate of a host name.
            None => !place.is_aws || bucket.contains('.'),
        };
        Ok(Self {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            path_style,
            key: if lent::is_meant(variables)? { None } else { Some(access_key(variables)?) },
            authorities: variables.get("GHOSTSNAP_CA_FILE").map(PathBuf::from),
            append_only: variables.flag("GHOSTSNAP_APPEND_ONLY")?,
            endpoint: place.endpoint,
            region: place.region,
            whole_max: limits::S3_WHOLE_BYTES_MAX,
            part: limits::S3_PART_BYTES,
        })
    }
}

struct Place {
    endpoint: String,
    region: String,
    path: String,
    is_aws: bool,
}

fn at_aws(path: &str, region: Option<String>) -> Result<Place> {
    if path.contains('@') {
        return Err(secret_in_address());
    }
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !region.chars().all(fits) {
        return Err(Error::new(Kind::Invalid, "use AWS_REGION").why("it is no name of a region"));
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    let endpoint = format!("https://s3.{region}.amazonaws.com{china}");
    Ok(Place { endpoint, region, path: path.to_owned(), is_aws: true })
}

fn at_endpoint(rest: &str, region: Option<String>, variables: &Variables) -> Result<Place> {
    let url = Url::parse(rest).map_err(|_| wrong("it is no URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(secret_in_address());
    }
    if url.fragment().is_some() {
        return Err(wrong("what follows # would be dropped"));
    }
    let host = url.host_str().ok_or_else(|| wrong("it names no host"))?;
    let near = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    match url.scheme() {
        "https" => {}
        "http" if near || variables.flag("GHOSTSNAP_ALLOW_HTTP")? => {}
        "http" => {
            return Err(wrong("http is not encrypted on its way: others see what is asked for")
                .hint("use https, or set GHOSTSNAP_ALLOW_HTTP=yes on a network of your own"));
        }
        _ => return Err(wrong("it is neither https nor http")),
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Place {
        endpoint: format!("{}://{host}{port}", url.scheme()),
        region: region.unwrap_or_else(|| region_of(host)),
        path: url.path().trim_start_matches('/').to_owned(),
        is_aws: host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"),
    })
}

/// The region that providers write into their host names; most others take any.
fn region_of(host: &str) -> String {
    let labels: Vec<&str> = host.split('.').collect();
    let region = match labels.as_slice() {
        ["s3", region, "amazonaws" | "backblazeb2" | "wasabisys" | "scw", ..]
        | [region, "your-objectstorage" | "digitaloceanspaces", "com"] => region,
        [.., "r2", "cloudflarestorage", "com"] => "auto",
        _ => "us-east-1",
    };
    region.to_owned()
}

fn access_key(variables: &Variables) -> Result<AccessKey> {
    let lacks = |name: &str| {
        Error::new(Kind::Usage, "reach the bucket").why(format!("{name} is not set")).hint(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or \
                 GHOSTSNAP_CREDENTIALS=instance where AWS lends this machine a role",
        )
    };
    let take = |name: &str| variables.get(name).ok_or_else(|| lacks(name));
    Ok(AccessKey {
        id: take("AWS_ACCESS_KEY_ID")?.trim().to_owned(),
        secret: Zeroizing::new(take("AWS_SECRET_ACCESS_KEY")?.trim().to_owned()),
        token: variables.get("AWS_SESSION_TOKEN").map(|token| token.trim().to_owned().into()),
    })
}

fn is_bucket_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || ['-', '.', '_'].contains(&c);
    (3..=63).contains(&name.len()) && name.chars().all(fits) && !name.starts_with('.')
}

fn wrong(why: &str) -> Error {
    Error::new(Kind::Invalid, "use this S3 address")
        .why(why.to_owned())
        .hint("write s3:https://host/bucket/prefix, or s3://bucket/prefix for AWS")
}

fn secret_in_address() -> Error {
    wrong("it holds a name, a password or a query")
        .hint("keep secrets out of addresses: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(more: &'static [(&str, &str)]) -> Variables {
        Variables::new(move |name| {
            let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t\n")];
            let found = more.iter().chain(&keys).find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn read(address: &str) -> S3Options {
        S3Options::new(address, &variables(&[])).unwrap()
    }

    fn refused(address: &str, more: &'static [(&str, &str)]) -> String {
        S3Options::new(address, &variables(more)).err().unwrap().to_string()
    }

    #[test]
    fn an_address_names_store_bucket_and_prefix() {
        let one = read("s3:https://minio.example:9000/backups/server1/a/");
        assert_eq!(one.endpoint, "https://minio.example:9000");
        assert_eq!((one.bucket.as_str(), one.prefix.as_str()), ("backups", "server1/a"));
        assert!(
            one.path_style && one.region == "us-east-1" && *one.key.unwrap().secret == "s3cr3t"
        );
        let aws = read("s3://backups");
        assert_eq!(aws.endpoint, "https://s3.us-east-1.amazonaws.com");
        assert!(!aws.path_style && aws.prefix.is_empty());
        assert!(read("s3://my.backups/x").path_style);
        let there = S3Options::new("s3://backups", &variables(&[("AWS_REGION", "eu-central-1")]));
        assert_eq!(there.unwrap().endpoint, "https://s3.eu-central-1.amazonaws.com");
    }

    #[test]
    fn providers_write_their_region_into_the_host() {
        let cases = [
            ("s3:https://s3.eu-central-003.backblazeb2.com/bbb", "eu-central-003"),
            ("s3:https://fsn1.your-objectstorage.com/bbb", "fsn1"),
            ("s3:https://0123.r2.cloudflarestorage.com/bbb", "auto"),
            ("s3:https://s3.eu-west-2.amazonaws.com/bbb", "eu-west-2"),
        ];
        for (address, region) in cases {
            assert_eq!(read(address).region, region);
        }
    }

    #[test]
    fn plain_http_has_to_be_asked_for_except_on_this_machine() {
        assert!(refused("s3:http://nas.example/backups", &[]).contains("GHOSTSNAP_ALLOW_HTTP"));
        let allowed = variables(&[("GHOSTSNAP_ALLOW_HTTP", "yes")]);
        assert!(S3Options::new("s3:http://nas.example/backups", &allowed).is_ok());
        assert_eq!(read("s3:http://127.0.0.1:80/backups").endpoint, "http://127.0.0.1");
    }

    #[test]
    fn secrets_in_an_address_are_refused_and_not_repeated() {
        for address in
            ["s3:https://key:hush@h/bucket", "s3://key:hush@bucket", "s3:https://h/b?hush"]
        {
            let text = refused(address, &[]);
            assert!(!text.contains("hush") && text.contains("AWS_ACCESS_KEY_ID"), "{text}");
        }
    }

    #[test]
    fn a_prefix_leads_to_one_place_only() {
        for address in ["s3://bucket/a/../b", "s3://bucket/..", "s3://bucket/./a"] {
            assert!(refused(address, &[]).contains("has . or .. in it"), "{address}");
        }
        assert_eq!(read("s3://bucket/a..b/.c").prefix, "a..b/.c");
        assert!(refused("s3:https://host/bucket/a#b", &[]).contains("would be dropped"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(refused("s3:https://host/", &[]).contains("names no bucket"));
        assert!(refused("s3:ftp://host/bucket", &[]).contains("neither https nor http"));
        assert!(refused("s3:host/bucket", &[]).contains("no URL"));
        let error = S3Options::new("s3://bucket", &Variables::none()).err().unwrap();
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID is not set"));
        let text = refused("s3://bucket", &[("GHOSTSNAP_APPEND_ONLY", "maybe")]);
        assert!(text.contains("neither yes nor no"));
    }
}
