// SPDX-License-Identifier: MIT
//! A container of Azure Blob Storage, through Microsoft's own crate
//! (docs/adr/0001-azure-crate.md). Its managed transfers are told to make one request at a time:
//! what is asked for at once, and again, is decided here and above.

mod errors;
mod line;
pub mod options;

pub use options::{AzureOptions, Proof};

use super::http::{Http, Route};
use super::retry::Retry;
use super::{
    Access, Backend, FileKind, FileName, Properties, list_each, missing, size_each, whole_by_size,
};
use crate::base::units::{bytes as length_of, length};
use crate::base::{Error, Kind, Result, limits};
use azure_core::http::{ClientOptions, RequestContent, RetryOptions, Transport, XmlFormat};
use azure_storage_blob::clients::{
    BlobClient, BlobContainerClient, BlobContainerClientOptions, BlockBlobClient,
};
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientGetPropertiesResultHeaders,
    BlobContainerClientListBlobsOptions, BlockBlobClientCommitBlockListOptions,
    BlockBlobClientUploadOptions, BlockLookupList, ListBlobsResponse,
};
use errors::{is_missing_file, refusal};
use futures_util::TryStreamExt;
use line::Line;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;

/// A repository in a container.
pub struct Azure {
    http: Arc<Http>,
    retry: Arc<Retry>,
    container: BlobContainerClient,
    options: AzureOptions,
}

impl Azure {
    /// A repository in a container, which has to exist. Nothing is asked yet. `retry` is for the
    /// blocks of an upload.
    pub fn new(options: AzureOptions, access: &Access, retry: Arc<Retry>) -> Result<Self> {
        let what = format!("use the container {}", options.container);
        let http = Arc::new(Http::new(access, Route::Outside(options.authorities.as_deref()))?);
        let line = Line::new(Arc::clone(&http), Arc::clone(&access.world), &options);
        let mut url = options.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Error::new(Kind::Invalid, what.as_str()).why("its address has no path"))?
            .pop_if_empty()
            .push(&options.container);
        if let Proof::Signature(query) = &options.proof {
            url.set_query(Some(query));
        }
        let client_options = ClientOptions {
            retry: RetryOptions::none(),
            transport: Some(Transport::new(Arc::new(line))),
            ..ClientOptions::default()
        };
        let container_options =
            BlobContainerClientOptions { client_options, ..BlobContainerClientOptions::default() };
        let container = BlobContainerClient::new(url, None, Some(container_options));
        Ok(Self {
            container: container.map_err(|error| refusal(&what, error))?,
            http,
            retry,
            options,
        })
    }

    fn key(&self, path: &str) -> String {
        let prefix = &self.options.prefix;
        if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
    }

    fn blob(&self, name: &FileName) -> BlobClient {
        self.container.blob_client(&self.key(&name.to_string()))
    }

    fn put(&self, what: &str, blob: &BlockBlobClient, bytes: &[u8]) -> Result<()> {
        let options = BlockBlobClientUploadOptions {
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: NonZero::new(length_of(bytes.len()).max(1)),
            ..BlockBlobClientUploadOptions::default()
        };
        let content = RequestContent::from(bytes.to_vec());
        let upload = blob.upload(content, Some(options.if_not_exists()));
        self.http.run(upload).map(drop).map_err(|error| refusal(what, error))
    }

    /// Uploads in blocks, each asked again by itself: after a cut it goes on where it was. Blocks
    /// that are never committed are dropped by the service after a week.
    fn put_in_blocks(&self, what: &str, blob: &BlockBlobClient, bytes: &[u8]) -> Result<()> {
        let mut ids: Vec<Vec<u8>> = Vec::new();
        for (number, block) in bytes.chunks(length(self.options.block)).enumerate() {
            let id = format!("{number:06}").into_bytes();
            self.retry.persist(|_| {
                let content = RequestContent::from(block.to_vec());
                let staged = blob.stage_block(&id, length_of(block.len()), content, None);
                self.http.run(staged).map(drop).map_err(|error| refusal(what, error))
            })?;
            ids.push(id);
        }
        let list = BlockLookupList { latest: Some(ids), ..BlockLookupList::default() };
        let list: RequestContent<BlockLookupList, XmlFormat> =
            list.try_into().map_err(|error| refusal(what, error))?;
        let options = BlockBlobClientCommitBlockListOptions {
            if_none_match: Some("*".into()),
            ..BlockBlobClientCommitBlockListOptions::default()
        };
        let commit = blob.commit_block_list(list, Some(options));
        self.http.run(commit).map(drop).map_err(|error| refusal(what, error))
    }
}

impl Backend for Azure {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        if kind == FileKind::Config {
            let size = self.size(&FileName::CONFIG)?;
            return Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect());
        }
        let what = format!("list {}", kind.folder());
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(self.key(&format!("{}/", kind.folder()))),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let root = self.key("");
        let refused = |error| refusal(&what, error);
        let mut pages = self.container.list_blobs(Some(options)).map_err(refused)?.into_pages();
        let mut files = Vec::new();
        for _ in 0..limits::STORE_PAGES_MAX {
            let page = self.http.run(pages.try_next()).map_err(refused)?;
            let Some(page) = page else { return Ok(files) };
            let page = whole_page(&what, page)?;
            for blob in page.blob_items {
                let size = blob.properties.and_then(|properties| properties.content_length);
                let (Some(name), Some(size)) = (blob.name, size) else {
                    return Err(Error::new(Kind::Connect, what)
                        .why("the store names a file without its size"));
                };
                let path = name.strip_prefix(&root).unwrap_or(&name);
                files.extend(FileName::parse(kind, path).map(|name| (name, size)));
            }
        }
        Err(Error::new(Kind::Connect, what).why("the listing does not come to an end"))
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        list_each(self, kinds)
    }

    fn read(&self, name: &FileName, range: Range<u64>) -> Result<Vec<u8>> {
        let what = format!("read {name}");
        let short = |size: u64| {
            Error::new(Kind::Damaged, what.as_str())
                .why(format!("it has {size} bytes, byte {} was asked for", range.end))
        };
        if range.is_empty() {
            let size = self.size(name)?.ok_or_else(|| missing(name))?;
            return if range.end <= size { Ok(Vec::new()) } else { Err(short(size)) };
        }
        let wanted = range.end - range.start;
        let options = BlobClientDownloadOptions {
            range: Some(range.clone().into()),
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: NonZero::new(length(wanted)),
            ..BlobClientDownloadOptions::default()
        };
        let blob = self.blob(name);
        let read = self.http.run(async {
            let answer = blob.download(Some(options)).await?;
            answer.body.collect().await
        });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if is_missing_file(&error) => return Err(missing(name)),
            Err(error) => return Err(refusal(&what, error)),
        };
        if length_of(bytes.len()) == wanted {
            return Ok(bytes.into());
        }
        // Too short: because the file is, or because the answer was cut?
        match self.size(name)? {
            Some(size) if size < range.end => Err(short(size)),
            _ => Err(Error::new(Kind::Connect, what)
                .why(format!("{} bytes came instead of {wanted}", bytes.len()))
                .transient()),
        }
    }

    fn read_whole(&self, name: &FileName, most: u64) -> Result<Option<Vec<u8>>> {
        whole_by_size(self, name, most)
    }

    fn size(&self, name: &FileName) -> Result<Option<u64>> {
        let what = format!("look at {name}");
        let blob = self.blob(name);
        match self.http.run(blob.get_properties(None)) {
            Err(error) if is_missing_file(&error) => Ok(None),
            Err(error) => Err(refusal(&what, error)),
            Ok(answer) => {
                let size = answer.content_length().map_err(|error| refusal(&what, error))?;
                size.map(Some).ok_or_else(|| {
                    Error::new(Kind::Connect, what).why("the store did not tell its size")
                })
            }
        }
    }

    fn sizes(&self, names: &[FileName]) -> Result<Vec<Option<u64>>> {
        size_each(self, names)
    }

    fn create(&self, name: &FileName, bytes: &[u8]) -> Result<()> {
        let what = format!("write {name}");
        let blob = self.blob(name).block_blob_client();
        if length_of(bytes.len()) <= self.options.whole_max {
            return self.put(&what, &blob, bytes);
        }
        // What would be refused after many blocks is asked before them.
        if self.size(name)?.is_some() {
            return Err(Error::new(Kind::Exists, what).why("the store has a file of that name"));
        }
        self.put_in_blocks(&what, &blob, bytes)
    }

    fn remove(&self, name: &FileName) -> Result<()> {
        match self.http.run(self.blob(name).delete(None)) {
            Ok(_) => Ok(()),
            Err(error) if is_missing_file(&error) => Ok(()),
            Err(error) => Err(refusal(&format!("remove {name}"), error)),
        }
    }

    fn properties(&self) -> Properties {
        Properties {
            connections: 4,
            append_only: self.options.append_only,
            is_far: true,
            listed_at_once: limits::LISTED_AT_ONCE,
        }
    }

    fn location(&self) -> String {
        let AzureOptions { account, container, prefix, .. } = &self.options;
        format!("azure:{container}/{prefix} ({account})").replace("/ (", " (")
    }
}

/// A page of a listing. Each says whether more is to come, if only by an empty mark: one that does
/// not was cut off.
fn whole_page(
    what: &str,
    page: azure_core::http::Response<ListBlobsResponse, XmlFormat>,
) -> Result<ListBlobsResponse> {
    let cut = || Error::new(Kind::Connect, what).why("the listing was cut off").transient();
    let whole = String::from_utf8_lossy(page.body()).contains("<NextMarker");
    if !whole {
        return Err(cut());
    }
    page.into_model().map_err(|_| cut())
}
