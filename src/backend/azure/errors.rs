// SPDX-License-Identifier: MIT
//! What a refusal of Azure means, and what mends it.

use crate::backend::http::quoted;
use crate::base::{Error, Kind};
use azure_core::error::ErrorKind;

/// Status, code and body of a refusal.
fn parts(error: &azure_core::Error) -> Option<(u16, &str, String)> {
    let ErrorKind::HttpResponse { status, error_code, raw_response } = error.kind() else {
        return None;
    };
    let body = raw_response.as_ref().map(|raw| String::from_utf8_lossy(raw.body()).into_owned());
    Some((u16::from(*status), error_code.as_deref().unwrap_or_default(), body.unwrap_or_default()))
}

/// Whether a 404 is about the file, and not about the container.
pub fn is_missing_file(error: &azure_core::Error) -> bool {
    parts(error).is_some_and(|(status, code, _)| status == 404 && !code.starts_with("Container"))
}

/// A refusal, or a failed exchange, in our words.
pub fn refusal(what: &str, error: azure_core::Error) -> Error {
    if let Some((status, code, body)) = parts(&error) {
        return told(what, status, code, &body);
    }
    match error.into_downcast::<Error>() {
        Ok(ours) => ours.within(what),
        // What the SDK says of an answer that it cannot read: it may be cut off.
        Err(error) if *error.kind() == ErrorKind::DataConversion => {
            Error::new(Kind::Connect, what).why("the answer of the store was cut off").transient()
        }
        Err(error) => Error::new(Kind::Connect, what).why(quoted(&error.kind().to_string())),
    }
}

fn told(what: &str, status: u16, code: &str, body: &str) -> Error {
    let error = |kind: Kind, why: &str| Error::new(kind, what).why(why.to_owned());
    let says = |words: &str| body.contains(words);
    match (code, status) {
        ("BlobAlreadyExists" | "ConditionNotMet" | "TargetConditionNotMet", _) | (_, 412) => {
            error(Kind::Exists, "the store has a file of that name")
        }
        ("ContainerNotFound", _) => error(Kind::NotFound, "there is no such container")
            .hint("make the container first, or check its name and the account"),
        ("ContainerBeingDeleted", _) => error(Kind::InUse, "the container is being deleted"),
        ("AuthenticationFailed", _) if says("date header") || says("not within") => {
            error(Kind::Forbidden, "the clocks of this machine and of the store differ too much")
                .hint("set this machine's clock: timedatectl set-ntp true")
        }
        ("AuthenticationFailed", _) if says("time frame") || says("Signature expired") => {
            error(Kind::Forbidden, "the shared access signature has expired, or is not valid yet")
                .hint("make a new one and set AZURE_STORAGE_SAS_TOKEN")
        }
        (
            "AuthenticationFailed" | "InvalidAuthenticationInfo" | "NoAuthenticationInformation",
            _,
        )
        | ("", 401 | 403) => error(Kind::Forbidden, "the store refuses the key or the signature")
            .hint("check AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"),
        ("AuthorizationFailure", _) => error(Kind::Forbidden, "the store refuses who is asking").hint(
            "check AZURE_STORAGE_ACCOUNT, AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, and the \
             firewall of the account",
        ),
        ("AccountIsDisabled", _) => error(Kind::Disabled, "the storage account is disabled"),
        ("BlobImmutableDueToPolicy" | "OperationNotAllowedOnBlobDueToLegalHold", _) => {
            error(Kind::Forbidden, "the container's policy keeps the file as it is")
        }
        ("BlobArchived", _) => error(Kind::Forbidden, "the file is in the archive tier")
            .hint("rehydrate it first; keep repositories out of the archive tier"),
        ("InvalidRange", _) | (_, 416) => error(Kind::Damaged, "it has fewer bytes than asked for"),
        ("Md5Mismatch" | "Crc64Mismatch", _) => {
            error(Kind::Connect, "the bytes were changed on their way").transient()
        }
        (_, 403) => {
            error(Kind::Forbidden, &format!("the right to do this is lacking ({})", quoted(code)))
                .hint("docs/repositories.md lists the rights a repository needs")
        }
        (_, 408 | 429 | 500 | 502 | 503 | 504) => {
            error(Kind::Connect, &answered(status, code)).transient()
        }
        (_, 404) => error(Kind::NotFound, "the store has no such file"),
        _ => error(Kind::Connect, &answered(status, code)),
    }
}

fn answered(status: u16, code: &str) -> String {
    format!("the store answered {status} {}", quoted(code)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_it_means_and_what_mends_it() {
        let cases = [
            (409, "BlobAlreadyExists", "", Kind::Exists, "of that name"),
            (404, "ContainerNotFound", "", Kind::NotFound, "make the container"),
            (403, "AuthenticationFailed", "", Kind::Forbidden, "AZURE_STORAGE_KEY"),
            (
                403,
                "AuthenticationFailed",
                "Request date header too old",
                Kind::Forbidden,
                "timedatectl",
            ),
            (
                403,
                "AuthenticationFailed",
                "not valid in the specified time frame",
                Kind::Forbidden,
                "expired",
            ),
            (403, "AuthorizationPermissionMismatch", "", Kind::Forbidden, "repositories.md"),
            (409, "BlobImmutableDueToPolicy", "", Kind::Forbidden, "policy"),
        ];
        for (status, code, body, kind, words) in cases {
            let error = told("write x", status, code, body);
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains(words) && !error.is_transient(), "{code}: {error}");
        }
        assert!(told("write x", 503, "ServerBusy", "").is_transient());
    }
}
