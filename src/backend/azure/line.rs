// SPDX-License-Identifier: MIT
//! The line to Azure: the SDK's requests over our own client, signed with an account's key where
//! there is one, which the SDK cannot do. Its retries and its client are switched off.

use super::options::{AzureOptions, Proof};
use crate::backend::Access;
use crate::backend::http::{Http, Request};
use crate::backend::lent::Lent;
use crate::base::{Counter, Error, Kind, Result, World, limits};
use azure_core::credentials::Secret;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Body, HttpClient, Method, Request as AzureRequest, Url};
use reqwest::header;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The version of the service's protocol that is signed for is the SDK's; this is only the format
/// of a date in its headers.
const DATE_FORMAT: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// What the SDK sends its requests through.
pub struct Line {
    http: Arc<Http>,
    world: Arc<World>,
    account: String,
    key: Option<Secret>,
    /// What stands in the place of a key, and the number of an identity.
    identity: Option<(Lent<Zeroizing<String>>, Option<String>)>,
}

impl Line {
    /// A line of one account.
    pub fn new(http: Arc<Http>, access: &Access, options: &AzureOptions) -> Result<Self> {
        let (key, identity) = match &options.proof {
            Proof::Key(key) => (Some(Secret::new(key.to_string())), None),
            Proof::Signature(_) => (None, None),
            Proof::Identity(id) => (None, Some((Lent::identity(access)?, id.clone()))),
        };
        let world = Arc::clone(&access.world);
        Ok(Self { http, world, account: options.account.clone(), key, identity })
    }

    async fn send(&self, request: &AzureRequest) -> Result<AsyncRawResponse> {
        // The caller knows the file and says so around this.
        let what = "get an answer of the store";
        let Body::Bytes(body) = request.body() else {
            return Err(Error::new(Kind::Internal, what).why("a body is a stream"));
        };
        let mut headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_lowercase(), value.as_str().to_owned()))
            .collect();
        if request.method() == Method::Put
            && !headers.iter().any(|(name, _)| name == "content-length")
        {
            headers.push(("content-length".to_owned(), body.len().to_string()));
        }
        if let Some(key) = &self.key {
            let date = self.world.now().utc().strftime(DATE_FORMAT).to_string();
            headers.push(("x-ms-date".to_owned(), date));
            let method = request.method().as_str();
            let text = string_to_sign(method, request.url(), &headers, &self.account);
            let signature = azure_core::hmac::hmac_sha256(&text, key).map_err(|_| {
                Error::new(Kind::Invalid, what).why("AZURE_STORAGE_KEY cannot be used")
            })?;
            let authorization = format!("SharedKey {}:{signature}", self.account);
            headers.push(("authorization".to_owned(), authorization));
        }
        if let Some((lent, id)) = &self.identity {
            let token = lent.token(id.as_deref()).await?;
            headers.push(("authorization".to_owned(), format!("Bearer {}", token.as_str())));
        }
        let answer = self
            .http
            .send(Request {
                what,
                counter: counter(request),
                method: reqwest::Method::from_bytes(request.method().as_str().as_bytes())
                    .unwrap_or(reqwest::Method::GET),
                url: request.url().clone(),
                headers: sendable(what, &headers)?,
                body: &[body],
                is_content: request.method() == Method::Put,
                answer_max: asked_for(&headers).max(limits::STORE_ANSWER_BYTES_MAX),
                answer_wait: std::time::Duration::ZERO,
            })
            .await?;
        let received: HashMap<HeaderName, HeaderValue> = answer
            .headers
            .iter()
            .filter_map(|(name, value)| {
                let value = value.to_str().ok()?.to_owned();
                Some((HeaderName::from(name.as_str().to_owned()), HeaderValue::from(value)))
            })
            .collect();
        let status = answer.status.into();
        Ok(AsyncRawResponse::from_bytes(status, Headers::from(received), answer.body))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = azure_core::Result<AsyncRawResponse>> + Send + 'a>>;

impl HttpClient for Line {
    fn execute_request<'life0, 'life1, 'async_trait>(
        &'life0 self,
        request: &'life1 AzureRequest,
    ) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let sent = self.send(request).await;
            sent.map_err(|error| azure_core::Error::new(ErrorKind::Io, error))
        })
    }
}

fn counter(request: &AzureRequest) -> Counter {
    let lists = request.url().query_pairs().any(|pair| pair == ("comp".into(), "list".into()));
    match request.method() {
        Method::Delete => Counter::RequestsDelete,
        Method::Get if lists => Counter::RequestsList,
        Method::Get | Method::Head => Counter::RequestsGet,
        _ => Counter::RequestsPut,
    }
}

/// Bytes that a ranged read asks for.
fn asked_for(headers: &[(String, String)]) -> u64 {
    let range = headers.iter().find(|(name, _)| name == "x-ms-range" || name == "range");
    let ends = range.and_then(|(_, value)| value.strip_prefix("bytes=")?.split_once('-'));
    ends.and_then(|(start, end)| {
        Some(end.parse::<u64>().ok()?.saturating_sub(start.parse::<u64>().ok()?) + 1)
    })
    .unwrap_or(0)
}

fn sendable(what: &str, headers: &[(String, String)]) -> crate::base::Result<header::HeaderMap> {
    let wrong = || Error::new(Kind::Invalid, what).why("a header holds what no header can");
    let mut map = header::HeaderMap::new();
    for (name, value) in headers {
        let name = header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        map.insert(name, header::HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    Ok(map)
}

/// What an account's key signs, as "Authorize with Shared Key" of the service's documentation has it.
fn string_to_sign(method: &str, url: &Url, headers: &[(String, String)], account: &str) -> String {
    const SIGNED: [&str; 11] = [
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "if-modified-since",
        "if-match",
        "if-none-match",
        "if-unmodified-since",
        "range",
    ];
    let mut text = format!("{method}\n");
    for wanted in SIGNED {
        let value = headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.trim());
        // A length of zero is signed as none, and the date is in x-ms-date.
        let value = value.filter(|value| !(wanted == "content-length" && *value == "0"));
        text.push_str(value.filter(|_| wanted != "date").unwrap_or_default());
        text.push('\n');
    }
    let mut own: Vec<_> = headers.iter().filter(|(name, _)| name.starts_with("x-ms-")).collect();
    own.sort_unstable();
    for (name, value) in own {
        text.push_str(&format!("{name}:{}\n", value.trim()));
    }
    text.push_str(&format!("/{account}{}", url.path()));
    let mut query: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    query.sort_unstable();
    for (name, value) in query {
        text.push_str(&format!("\n{name}:{value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn what_is_signed_follows_the_rules_of_the_service() {
        let url = "https://a.blob.core.windows.net/c/x%20y?restype=container&Comp=list&prefix=p%2F";
        let headers = [
            pair("x-ms-version", "2026-02-06"),
            pair("content-length", "0"),
            pair("x-ms-date", "Fri, 02 Jan 2026 03:04:05 GMT"),
            pair("if-none-match", "*"),
            pair("accept", "application/xml"),
        ];
        let text = string_to_sign("GET", &Url::parse(url).unwrap(), &headers, "a");
        assert_eq!(
            text,
            "GET\n\n\n\n\n\n\n\n\n*\n\n\nx-ms-date:Fri, 02 Jan 2026 03:04:05 GMT\n\
             x-ms-version:2026-02-06\n/a/c/x%20y\ncomp:list\nprefix:p/\nrestype:container"
        );
    }

    #[test]
    fn the_answer_to_a_ranged_read_may_be_as_long_as_the_range() {
        assert_eq!(asked_for(&[pair("x-ms-range", "bytes=10-19")]), 10);
        assert_eq!(asked_for(&[pair("range", "bytes=10-")]), 0);
        assert_eq!(asked_for(&[]), 0);
    }
}
