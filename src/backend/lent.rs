// SPDX-License-Identifier: MIT
//! Keys that the provider lends to a machine of its own: those of a role to an instance at AWS, a
//! token of a managed identity at Azure. Both are asked for at a service that only the machine
//! itself can reach, without a secret, and asked for again before they run out.

use super::http::{Answer, Http, Request, Route};
use super::s3::AccessKey;
use super::{Access, Variables};
use crate::base::{Counter, Error, Kind, Result, World, limits};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// Where the service is, at both of them.
const SERVICE: &str = "http://169.254.169.254";
const AWS_TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const AWS_TOKEN_SECONDS: HeaderName =
    HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const AZURE_ASKED: HeaderName = HeaderName::from_static("metadata");

/// Whether the machine's own rights are meant, and no key.
pub fn is_meant(variables: &Variables) -> Result<bool> {
    match variables.get("GHOSTSNAP_CREDENTIALS").as_deref().map(str::trim) {
        None | Some("") => Ok(false),
        Some("instance") => Ok(true),
        Some(_) => Err(Error::new(Kind::Usage, "use GHOSTSNAP_CREDENTIALS")
            .why("its only value is 'instance': the rights that the provider lends to this machine")
            .hint("leave it out if a key is set")),
    }
}

/// Something that is lent for a while.
pub struct Lent<T> {
    lender: Lender,
    held: Mutex<Option<(Arc<T>, i64)>>,
}

/// The service that lends.
struct Lender {
    http: Http,
    world: Arc<World>,
    service: String,
}

#[derive(Deserialize)]
struct RoleKey {
    #[serde(rename = "AccessKeyId")]
    id: String,
    #[serde(rename = "SecretAccessKey")]
    secret: String,
    #[serde(rename = "Token")]
    token: String,
    #[serde(rename = "Expiration")]
    ends: String,
}

#[derive(Deserialize)]
struct IdentityToken {
    access_token: String,
    /// Seconds since 1970, as text.
    expires_on: String,
}

impl Lent<AccessKey> {
    /// A key of the role that an instance at AWS has.
    pub fn role(access: &Access) -> Result<Self> {
        Self::new(access, "AWS_EC2_METADATA_SERVICE_ENDPOINT")
    }

    /// The key now.
    pub async fn key(&self) -> Result<Arc<AccessKey>> {
        match self.held() {
            Ok(key) => Ok(key),
            Err(last) => self.renewed(last, self.lender.role_key().await),
        }
    }
}

impl Lent<Zeroizing<String>> {
    /// A token of the identity that a machine at Azure has.
    pub fn identity(access: &Access) -> Result<Self> {
        Self::new(access, "AZURE_POD_IDENTITY_AUTHORITY_HOST")
    }

    /// The token now; of one of several identities, if its number is given.
    pub async fn token(&self, client_id: Option<&str>) -> Result<Arc<Zeroizing<String>>> {
        match self.held() {
            Ok(token) => Ok(token),
            Err(last) => self.renewed(last, self.lender.identity_token(client_id).await),
        }
    }
}

impl<T> Lent<T> {
    fn new(access: &Access, service: &str) -> Result<Self> {
        let service = access.variables.get(service).unwrap_or_else(|| SERVICE.to_owned());
        let service = service.trim().trim_end_matches('/').to_owned();
        let world = Arc::clone(&access.world);
        let http = Http::new(access, Route::ThisMachine)?;
        Ok(Self { lender: Lender { http, world, service }, held: Mutex::default() })
    }

    /// What is held; if it runs out soon, what of it can still be used.
    fn held(&self) -> Result<Arc<T>, Option<Arc<T>>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((value, ends)) = held.as_ref() else { return Err(None) };
        let left = ends - self.lender.world.now().seconds;
        if left > limits::LENT_RENEWED_SECONDS {
            return Ok(Arc::clone(value));
        }
        Err((left > 0).then(|| Arc::clone(value)))
    }

    fn renewed(&self, last: Option<Arc<T>>, new: Result<(T, i64)>) -> Result<Arc<T>> {
        match (new, last) {
            (Ok((value, ends)), _) => {
                let value = Arc::new(value);
                let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                *held = Some((Arc::clone(&value), ends));
                Ok(value)
            }
            // It is good for some minutes yet.
            (Err(_), Some(last)) => Ok(last),
            (Err(error), None) => Err(error),
        }
    }
}

impl Lender {
    async fn role_key(&self) -> Result<(AccessKey, i64)> {
        let what = "ask AWS for the key of this instance's role";
        let seconds = [(AWS_TOKEN_SECONDS, "60")];
        let session = self.ask(what, Method::PUT, "latest/api/token", &seconds).await?;
        let session = text(what, session)?;
        let shown = [(AWS_TOKEN, session.trim())];
        let folder = "latest/meta-data/iam/security-credentials/";
        let roles = self.ask(what, Method::GET, folder, &shown).await?;
        let no_role = || {
            Error::new(Kind::Forbidden, what)
                .why("the instance has no role")
                .hint("attach a role (an instance profile) that may use the bucket")
        };
        let roles = if roles.status == 404 { return Err(no_role()) } else { text(what, roles)? };
        let role = roles.lines().next().map(str::trim).filter(|role| !role.is_empty());
        let path = format!("{folder}{}", role.ok_or_else(no_role)?);
        let key = self.ask(what, Method::GET, &path, &shown).await?;
        let key: RoleKey = understood(what, &key)?;
        let ends: jiff::Timestamp = key.ends.parse().map_err(|_| strange(what))?;
        let (secret, token) = (key.secret.into(), Some(key.token.into()));
        Ok((AccessKey { id: key.id, secret, token }, ends.as_second()))
    }

    async fn identity_token(&self, client_id: Option<&str>) -> Result<(Zeroizing<String>, i64)> {
        let what = "ask Azure for a token of this machine's identity";
        let mut path = String::from(
            "metadata/identity/oauth2/token?api-version=2018-02-01\
             &resource=https%3A%2F%2Fstorage.azure.com%2F",
        );
        if let Some(id) = client_id {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
            if !id.chars().all(fits) {
                return Err(
                    Error::new(Kind::Usage, what).why("AZURE_CLIENT_ID is no number of one")
                );
            }
            path.push_str("&client_id=");
            path.push_str(id);
        }
        let answer = self.ask(what, Method::GET, &path, &[(AZURE_ASKED, "true")]).await?;
        if answer.status == 400 {
            return Err(Error::new(Kind::Forbidden, what)
                .why("the machine has no such identity")
                .hint(
                    "give it a managed identity with the role 'Storage Blob Data Contributor'; of \
                     several name one with client_id",
                ));
        }
        let token: IdentityToken = understood(what, &answer)?;
        let ends = token.expires_on.trim().parse().map_err(|_| strange(what))?;
        Ok((token.access_token.into(), ends))
    }

    async fn ask(
        &self,
        what: &str,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Answer> {
        let wrong =
            || Error::new(Kind::Invalid, what).why("the address of the metadata service is no URL");
        let url = Url::parse(&format!("{}/{path}", self.service)).map_err(|_| wrong())?;
        let mut sent = HeaderMap::new();
        for (name, value) in headers {
            sent.insert(name, HeaderValue::from_str(value).map_err(|_| strange(what))?);
        }
        let asked = Request {
            what,
            counter: Counter::RequestsGet,
            method,
            url,
            headers: sent,
            body: &[],
            is_content: false,
            answer_max: limits::STORE_ANSWER_BYTES_MAX,
            answer_wait: Duration::ZERO,
        };
        let answer = self.http.send(asked).await.map_err(|error| {
            error.hint("only a machine of the provider has this service; elsewhere set a key")
        })?;
        match answer.status {
            429 | 500..=599 => Err(strange(what).transient()),
            _ => Ok(answer),
        }
    }
}

fn text(what: &str, answer: Answer) -> Result<String> {
    if answer.status != 200 {
        return Err(refused(what, answer.status));
    }
    String::from_utf8(answer.body).map_err(|_| strange(what))
}

fn understood<T: serde::de::DeserializeOwned>(what: &str, answer: &Answer) -> Result<T> {
    if answer.status != 200 {
        return Err(refused(what, answer.status));
    }
    // Its words hold the secret: nothing is told of them.
    serde_json::from_slice(&answer.body).map_err(|_| strange(what))
}

fn refused(what: &str, status: u16) -> Error {
    Error::new(Kind::Forbidden, what).why(format!("the metadata service answers {status}"))
}

fn strange(what: &str) -> Error {
    Error::new(Kind::Connect, what).why("the metadata service gives an answer that is none of its")
}

#[cfg(test)]
mod tests {
    use super::super::azure::{Azure, AzureOptions};
    use super::super::retry::Retry;
    use super::super::s3::{S3, S3Options};
    use super::super::{Backend, FileKind};
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    type Asked = Arc<Mutex<Vec<String>>>;

    /// A service that gives these answers, one after the other, and notes what it was asked.
    fn service(answers: Vec<(u16, String)>) -> (String, Asked) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut taken, mut piece) = (String::new(), [0; 4096]);
                while !taken.contains("\r\n\r\n") {
                    let length = stream.read(&mut piece).unwrap();
                    taken.push_str(&String::from_utf8_lossy(&piece[..length]));
                }
                noted.lock().unwrap().push(taken.to_lowercase());
                let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
                let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (address, asked)
    }

    fn access(pairs: Vec<(&'static str, String)>) -> Access {
        let find = move |name: &str| {
            pairs.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone())
        };
        Access { variables: Variables::new(find), ..Access::bare(Arc::new(World::seeded(5))) }
    }

    fn retry(access: &Access) -> Arc<Retry> {
        let (world, monitor) = (Arc::clone(&access.world), Arc::clone(&access.monitor));
        Arc::new(Retry::new(world, monitor, Duration::ZERO))
    }

    fn role_key(id: &str, ends: &str) -> [(u16, String); 3] {
        let key = format!(
            r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"hush","Token":"tok",
                "Expiration":"{ends}"}}"#
        );
        [(200, "session".into()), (200, "backup-role\n".into()), (200, key)]
    }

    fn time_in(seconds: i64, access: &Access) -> String {
        jiff::Timestamp::from_second(access.world.now().seconds + seconds).unwrap().to_string()
    }

    #[test]
    fn the_key_of_a_role_is_asked_for_again_before_it_runs_out() {
        let soon = limits::LENT_RENEWED_SECONDS + 60;
        let clock = access(Vec::new());
        let mut answers = role_key("one", &time_in(soon, &clock)).to_vec();
        answers.push((500, String::new()));
        answers.extend(role_key("two", &time_in(9000, &clock)));
        let (address, asked) = service(answers);
        let access = access(vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)]);
        let role = Lent::role(&access).unwrap();
        let id = || role.lender.http.run(role.key()).unwrap().id.clone();
        assert_eq!((id().as_str(), id().as_str()), ("one", "one"));
        let requests = asked.lock().unwrap().clone();
        assert_eq!(requests.len(), 3, "{requests:?}");
        assert!(requests[0].starts_with("put /latest/api/token "), "{requests:?}");
        assert!(requests[2].contains("/iam/security-credentials/backup-role "), "{requests:?}");
        assert!(requests[1..].iter().all(|one| one.contains("metadata-token: session")));
        access.world.sleep(Duration::from_secs(120));
        // The service is away for a moment: the key is good for some minutes yet.
        assert_eq!((id().as_str(), id().as_str()), ("one", "two"));
        assert_eq!(asked.lock().unwrap().len(), 7);
    }

    #[test]
    fn what_a_machine_does_not_have_is_said_with_its_mend() {
        let (address, _) = service(vec![(200, "session".into()), (404, String::new())]);
        let place = access(vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", address)]);
        let role = Lent::role(&place).unwrap();
        let error = role.lender.http.run(role.key()).err().unwrap();
        assert!(error.kind() == Kind::Forbidden && error.to_string().contains("instance profile"));
        let (address, _) = service(vec![(400, String::new())]);
        let place = access(vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", address)]);
        let identity = Lent::identity(&place).unwrap();
        let error = identity.lender.http.run(identity.token(None)).err().unwrap();
        assert!(error.to_string().contains("Storage Blob Data Contributor"), "{error}");
        // Whatever the answer is, nothing of it is repeated.
        let (address, _) = service(vec![(200, r#"{"access_token":"hush"}"#.into())]);
        let place = access(vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", address)]);
        let identity = Lent::identity(&place).unwrap();
        let error = identity.lender.http.run(identity.token(None)).err().unwrap().to_string();
        assert!(error.contains("none of its") && !error.contains("hush"), "{error}");
        assert!(
            is_meant(&access(vec![("GHOSTSNAP_CREDENTIALS", "yes".into())]).variables).is_err()
        );
    }

    #[test]
    fn stores_are_asked_with_what_was_lent() {
        let clock = access(Vec::new());
        let (lender, _) = service(role_key("lent-id", &time_in(9000, &clock)).to_vec());
        let nothing = "<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount>\
                       </ListBucketResult>";
        let (store, asked) = service(vec![(200, nothing.into())]);
        let place = access(vec![
            ("GHOSTSNAP_CREDENTIALS", "instance".into()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", lender),
        ]);
        let address = format!("s3:{store}/bucket/prefix");
        let options = S3Options::new(&address, &place.variables).unwrap();
        let s3 = S3::new(options, &place, retry(&place)).unwrap();
        assert_eq!(s3.list(FileKind::Index).unwrap(), []);
        let request = asked.lock().unwrap().concat();
        assert!(request.contains("credential=lent-id/"), "{request}");
        assert!(request.contains("x-amz-security-token: tok"), "{request}");

        let ends = clock.world.now().seconds + 9000;
        let token = format!(r#"{{"access_token":"lent-token","expires_on":"{ends}"}}"#);
        let (lender, lent) = service(vec![(200, token)]);
        let nothing = "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";
        let (store, asked) = service(vec![(200, nothing.into())]);
        let place = access(vec![
            ("GHOSTSNAP_CREDENTIALS", "instance".into()),
            ("AZURE_CLIENT_ID", "0f-1".into()),
            ("AZURE_STORAGE_ACCOUNT", "acme".into()),
            ("AZURE_STORAGE_BLOB_ENDPOINT", format!("{store}/acme")),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", lender),
        ]);
        let options = AzureOptions::new("azure:backups", &place.variables).unwrap();
        let azure = Azure::new(options, &place, retry(&place)).unwrap();
        azure.list(FileKind::Index).unwrap_or_default();
        let request = asked.lock().unwrap().concat();
        assert!(request.contains("authorization: bearer lent-token"), "{request}");
        let asked = lent.lock().unwrap().concat();
        assert!(asked.contains("metadata: true") && asked.contains("client_id=0f-1"), "{asked}");
        assert!(asked.contains("resource=https%3a%2f%2fstorage.azure.com%2f"), "{asked}");
    }
}
