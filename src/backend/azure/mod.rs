// SPDX-License-Identifier: MIT
//! A container of Azure Blob Storage, through Microsoft's own crate
//! (docs/adr/0001-azure-crate.md). Its managed transfers are told to make one request at a time:
//! what is asked for at once, and again, is decided here and above.

mod errors;
mod line;
pub mod options;

pub use options::{AzureOptions, Proof};

use super::http::{Http, Route, size_in};
use super::retry::Retry;
use super::{
    Access, Backend, FileKind, FileName, Leftovers, Properties, missing, size_each, too_large,
};
use crate::base::units::{bytes as length_of, length};
use crate::base::{Error, Kind, Result, limits};
use azure_core::http::headers::HeaderName;
use azure_core::http::{ClientOptions, RequestContent, RetryOptions, Transport, XmlFormat};
use azure_storage_blob::clients::{
    BlobClient, BlobContainerClient, BlobContainerClientOptions, BlockBlobClient,
};
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientGetPropertiesResultHeaders,
    BlobContainerClientListBlobsOptions, BlobItem, BlockBlobClientCommitBlockListOptions,
    BlockBlobClientUploadOptions, BlockLookupList, ListBlobsResponse,
};
use errors::{is_missing_file, refusal};
use futures_util::TryStreamExt;
use line::Line;
use std::collections::HashMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says `bytes 0-9/100` of a part.
const CONTENT_RANGE: HeaderName = HeaderName::from_static("content-range");

/// A repository in a container.
pub struct Azure {
    http: Arc<Http>,
    retry: Arc<Retry>,
    container: BlobContainerClient,
    options: AzureOptions,
    /// Whether the last listing of everything would have fit on a page of [`Self::seen`].
    is_small: AtomicBool,
}

type Page = azure_core::http::Response<ListBlobsResponse, XmlFormat>;
type Pages = azure_core::http::pager::PageIterator<Page>;

impl Azure {
    /// A repository in a container, which has to exist. Nothing is asked yet. `retry` is for the
    /// blocks of an upload.
    pub fn new(options: AzureOptions, access: &Access, retry: Arc<Retry>) -> Result<Self> {
        let what = format!("use the container {}", options.container);
        let http = Arc::new(Http::new(access, Route::Outside(options.authorities.as_deref()))?);
        let line = Line::new(Arc::clone(&http), access, &options)?;
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
            is_small: AtomicBool::new(false),
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

    /// The files of these kinds below a folder.
    fn listed(&self, what: &str, start: &str, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        let mut pages = self.pages(what, start, None)?;
        let mut files = Vec::new();
        for _ in 0..limits::STORE_PAGES_MAX {
            let page = self.http.run(pages.try_next()).map_err(|error| refusal(what, error))?;
            let Some(page) = page else { return Ok(files) };
            for (path, size) in self.files_in(what, page)? {
                let name = kinds.iter().find_map(|kind| FileName::parse(*kind, &path));
                files.extend(name.map(|name| (name, size)));
            }
        }
        Err(Error::new(Kind::Connect, what).why("the listing does not come to an end"))
    }

    fn pages(&self, what: &str, start: &str, most: Option<i32>) -> Result<Pages> {
        let options = BlobContainerClientListBlobsOptions {
            prefix: Some(self.key(start)).filter(|prefix| !prefix.is_empty()),
            maxresults: most,
            ..BlobContainerClientListBlobsOptions::default()
        };
        let pages = self.container.list_blobs(Some(options));
        Ok(pages.map_err(|error| refusal(what, error))?.into_pages())
    }

    /// Paths below our place and sizes.
    fn files_in(&self, what: &str, page: Page) -> Result<Vec<(String, u64)>> {
        let root = self.key("");
        let file = |blob: BlobItem| {
            let size = blob.properties.and_then(|properties| properties.content_length);
            let (Some(name), Some(size)) = (blob.name, size) else {
                return Err(
                    Error::new(Kind::Connect, what).why("the store names a file without its size")
                );
            };
            Ok((name.strip_prefix(&root).unwrap_or(&name).to_owned(), size))
        };
        whole_page(what, page)?.blob_items.into_iter().map(file).collect()
    }

    /// What one page shows, where that may be everything: a listing cannot begin at a name.
    fn seen(&self) -> Result<HashMap<String, u64>> {
        let what = "look at files";
        let mut pages = self.pages(what, "", i32::try_from(limits::LOOKED_AT_ONCE).ok())?;
        let page = self.http.run(pages.try_next()).map_err(|error| refusal(what, error))?;
        let files = page.map(|page| self.files_in(what, page)).transpose()?;
        Ok(files.unwrap_or_default().into_iter().collect())
    }
}

impl Backend for Azure {
    fn list(&self, kind: FileKind) -> Result<Vec<(FileName, u64)>> {
        if kind == FileKind::Config {
            let size = self.size(&FileName::CONFIG)?;
            return Ok(size.map(|size| (FileName::CONFIG, size)).into_iter().collect());
        }
        let start = format!("{}/", kind.folder());
        self.listed(&format!("list {}", kind.folder()), &start, &[kind])
    }

    fn list_together(&self, kinds: &[FileKind]) -> Result<Vec<(FileName, u64)>> {
        let files = self.listed("list the repository", "", kinds)?;
        self.is_small.store(files.len() < limits::LOOKED_AT_ONCE, Ordering::Relaxed);
        Ok(files)
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
        let what = format!("read {name}");
        let most_at_once = NonZero::new(length(most)).unwrap_or(NonZero::<usize>::MIN);
        let options = BlobClientDownloadOptions {
            range: Some((0..length_of(most_at_once.get())).into()),
            parallel: Some(NonZero::<usize>::MIN),
            partition_size: Some(most_at_once),
            ..BlobClientDownloadOptions::default()
        };
        let blob = self.blob(name);
        let read = self.http.run(async {
            let answer = blob.download(Some(options)).await?;
            // The whole size is told where a part was asked for; an empty file has none.
            let size = answer.headers.get_optional_str(&CONTENT_RANGE).and_then(size_in);
            let size = size.or(answer.properties.content_length);
            Ok((answer.body.collect().await?, size))
        });
        let (bytes, size) = match read {
            Ok(read) => read,
            Err(error) if is_missing_file(&error) => return Ok(None),
            Err(error) => return Err(refusal(&what, error)),
        };
        match size {
            Some(size) if size > most => Err(too_large(name, size)),
            Some(size) if size == length_of(bytes.len()) => Ok(Some(bytes.into())),
            _ => Err(Error::new(Kind::Connect, what)
                .why(format!("{} of {} bytes came", bytes.len(), size.unwrap_or(0)))
                .transient()),
        }
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
        if names.len() < 2 || !self.is_small.load(Ordering::Relaxed) {
            return size_each(self, names);
        }
        let seen = self.seen()?;
        // What has come since, and does not fit on the page, is asked for by itself.
        let size = |name: &FileName| {
            seen.get(&name.to_string()).map_or_else(|| self.size(name), |size| Ok(Some(*size)))
        };
        names.iter().map(size).collect()
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

    fn leftovers(&self, _: i64, _: Leftovers) -> Result<(u64, u64)> {
        Ok((0, 0))
    }

    fn properties(&self) -> Properties {
        Properties {
            connections: 4,
            append_only: self.options.append_only,
            is_far: true,
            listed_at_once: limits::LISTED_AT_ONCE,
            pack_bytes_max: limits::AZURE_PACK_BYTES_MAX,
        }
    }

    fn location(&self) -> String {
        let AzureOptions { account, container, prefix, .. } = &self.options;
        format!("azure:{container}/{prefix} ({account})").replace("/ (", " (")
    }
}

/// A page of a listing. Each says whether more is to come, if only by an empty mark: one that does
/// not was cut off.
fn whole_page(what: &str, page: Page) -> Result<ListBlobsResponse> {
    let cut = || Error::new(Kind::Connect, what).why("the listing was cut off").transient();
    let whole = String::from_utf8_lossy(page.body()).contains("<NextMarker");
    if !whole {
        return Err(cut());
    }
    page.into_model().map_err(|_| cut())
}
