// SPDX-License-Identifier: MIT
//! What a refusal of S3 means, and what mends it. The code in its body says more than its status;
//! nothing of the body but code and message is ever shown.

use crate::backend::http::{Answer, quoted};
use crate::base::{Error, Kind};
use serde::Deserialize;

/// The body of a refusal.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Document {
    #[serde(rename = "Code")]
    code: String,
    #[serde(rename = "Message")]
    message: String,
    #[serde(rename = "Region")]
    region: Option<String>,
}

fn document(answer: &Answer) -> Document {
    let text = String::from_utf8_lossy(&answer.body);
    // Not every refusal has a body that can be read; its status is left then.
    quick_xml::de::from_str(&text).unwrap_or_default()
}

/// Whether a 404 is about the file, and not about the bucket.
pub fn is_missing_file(answer: &Answer) -> bool {
    ["", "NoSuchKey", "NotFound"].contains(&document(answer).code.as_str())
}

/// A refusal in our words.
pub fn refusal(what: &str, answer: &Answer) -> Error {
    let document = document(answer);
    let code = document.code.as_str();
    let error = |kind: Kind, why: &str| Error::new(kind, what).why(why.to_owned());
    match (code, answer.status) {
        ("PreconditionFailed", _) | (_, 412) => {
            error(Kind::Exists, "the store has a file of that name")
        }
        ("NoSuchBucket", _) => error(Kind::NotFound, "there is no such bucket")
            .hint("make the bucket first, or check its name and the region"),
        ("NoSuchUpload", _) => error(Kind::NotFound, "the store does not know the upload"),
        ("InvalidAccessKeyId" | "InvalidAccessKey" | "InvalidClientTokenId", _) => {
            error(Kind::Forbidden, "the store does not know the key id")
                .hint("check AWS_ACCESS_KEY_ID, and that the key belongs to this store")
        }
        ("SignatureDoesNotMatch", _) => {
            error(Kind::Forbidden, "the store refuses the signature: the secret key is wrong")
                .hint("check AWS_SECRET_ACCESS_KEY and the region")
        }
        ("ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired", _) => {
            error(Kind::Forbidden, "the key was a temporary one and has expired")
                .hint("get a new AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN")
        }
        ("InvalidToken", _) => error(Kind::Forbidden, "the store refuses the session token")
            .hint("check AWS_SESSION_TOKEN; unset it if the key is a permanent one"),
        ("RequestTimeTooSkewed" | "RequestExpired", _) => {
            error(Kind::Forbidden, "the clocks of this machine and of the store differ too much")
                .hint("set this machine's clock: timedatectl set-ntp true")
        }
        (
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException"
            | "InvalidRegion",
            _,
        )
        | (_, 301 | 302 | 307 | 308) => elsewhere(what, &document, answer),
        ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | ("", 401 | 403) => {
            error(Kind::Forbidden, "the key lacks the right to do this").hint(
                "docs/repositories.md lists the rights a repository needs; a bucket that forbids \
                 removing keeps everything",
            )
        }
        ("InvalidBucketName", _) => error(Kind::Invalid, "the store takes no such bucket name"),
        ("QuotaExceeded" | "XMinioStorageFull" | "StorageFull" | "InsufficientStorage", _)
        | (_, 507) => error(Kind::Disk, "the store is full")
            .hint("free some space there or raise its limit, then run the command again"),
        ("InvalidObjectState", _) => {
            error(Kind::Forbidden, "the file is in an archive such as Glacier")
                .hint("restore it from the archive first; keep repositories out of archive classes")
        }
        ("BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody", _) => {
            error(Kind::Connect, "the bytes were changed or cut on their way").transient()
        }
        ("ConditionalRequestConflict" | "OperationAborted", _) => {
            error(Kind::Connect, "another request was writing the same file").transient()
        }
        ("RequestTimeout" | "SlowDown" | "ServiceUnavailable" | "InternalError", _)
        | (_, 408 | 425 | 429 | 500 | 502 | 503 | 504) => {
            error(Kind::Connect, &told(&document, answer.status)).transient()
        }
        (_, 404) => error(Kind::NotFound, "the store has no such file"),
        _ => error(Kind::Connect, &told(&document, answer.status)),
    }
}

fn elsewhere(what: &str, document: &Document, answer: &Answer) -> Error {
    let region = document.region.as_deref().or_else(|| answer.header("x-amz-bucket-region"));
    let error = Error::new(Kind::Invalid, what);
    match region {
        Some(region) => {
            let region = quoted(region);
            error
                .why(format!("the bucket is in the region {region}"))
                .hint(format!("set AWS_REGION={region}"))
        }
        None => error
            .why(format!("the bucket is somewhere else ({})", told(document, answer.status)))
            .hint("check the endpoint and AWS_REGION"),
    }
}

fn told(document: &Document, status: u16) -> String {
    match (document.code.as_str(), document.message.as_str()) {
        ("", _) => format!("the store answered {status}"),
        (code, "") => format!("the store answered {status} {}", quoted(code)),
        (code, text) => format!("the store answered {status} {}: {}", quoted(code), quoted(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderMap;

    fn answer(status: u16, code: &str) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Some words.</Message>\
             <AWSAccessKeyId>AKIASECRET</AWSAccessKeyId><Region>eu-west-1</Region></Error>"
        );
        Answer { status, headers: HeaderMap::new(), body: body.into_bytes() }
    }

    #[test]
    fn each_refusal_says_what_it_means_and_what_mends_it() {
        let cases = [
            (403, "SignatureDoesNotMatch", Kind::Forbidden, "AWS_SECRET_ACCESS_KEY"),
            (403, "InvalidAccessKeyId", Kind::Forbidden, "AWS_ACCESS_KEY_ID"),
            (400, "ExpiredToken", Kind::Forbidden, "AWS_SESSION_TOKEN"),
            (403, "RequestTimeTooSkewed", Kind::Forbidden, "timedatectl"),
            (404, "NoSuchBucket", Kind::NotFound, "make the bucket"),
            (403, "AccessDenied", Kind::Forbidden, "repositories.md"),
            (301, "PermanentRedirect", Kind::Invalid, "AWS_REGION=eu-west-1"),
            (507, "XMinioStorageFull", Kind::Disk, "free some space"),
            (412, "PreconditionFailed", Kind::Exists, "a file of that name"),
        ];
        for (status, code, kind, words) in cases {
            let error = refusal("write x", &answer(status, code));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(words), "{code}: {error}");
            assert!(!error.is_transient() && !error.to_string().contains("AKIASECRET"));
        }
    }

    #[test]
    fn what_may_pass_is_transient() {
        for (status, code) in
            [(503, "SlowDown"), (500, "InternalError"), (409, "ConditionalRequestConflict")]
        {
            assert!(refusal("write x", &answer(status, code)).is_transient(), "{code}");
        }
        for status in [429, 500, 502, 503, 504] {
            let bare = Answer { status, headers: HeaderMap::new(), body: b"<html>oops".to_vec() };
            let error = refusal("write x", &bare);
            assert!(error.is_transient() && error.kind() == Kind::Connect);
            assert!(error.one_line().ends_with(&status.to_string()), "{error}");
        }
        let bare = Answer { status: 501, headers: HeaderMap::new(), body: Vec::new() };
        assert!(!refusal("write x", &bare).is_transient());
    }

    #[test]
    fn a_missing_bucket_is_not_a_missing_file() {
        assert!(is_missing_file(&answer(404, "NoSuchKey")));
        assert!(!is_missing_file(&answer(404, "NoSuchBucket")));
    }
}
