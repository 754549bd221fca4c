// SPDX-License-Identifier: MIT
//! Whom to believe about packs where there are write-only keys. Whoever has such keys writes index
//! segments, and may have been broken into. So what it says adds packs and takes nothing away
//! (`IndexSegment::decode_for`), and what it says of a pack counts only as far as nobody says
//! otherwise: those who have the master keys are believed first, and between two that can only add
//! the pack's own end decides, which is as it was written or the pack would have another name.

use super::Repository;
use crate::backend::{FileKind, FileName};
use crate::base::error::io_error;
use crate::base::{Error, FileId, Kind, Result, Within, units};
use crate::format::envelope::{HEADER_BYTES, is_deposit, write_only};
use crate::format::pack::{FOOTER_BYTES, blobs_end, end_length};
use crate::format::{PackClass, PackEntry, PackReader};

/// What a deposit itself says; `None` if it is not there, damaged, no deposit, or none of the
/// business of whoever can only add.
pub(super) fn end_of(repository: &Repository, id: &FileId) -> Result<Option<PackEntry>> {
    if repository.keys.is_write_only() {
        return Ok(None);
    }
    let name = FileName::new(FileKind::Pack, *id);
    let Some(size) = repository.backend.size(&name)? else { return Ok(None) };
    match pack_entry(repository, &name, size) {
        Ok(entry) => Ok(Some(entry).filter(|entry| is_deposit(&entry.header))),
        Err(error) if matches!(error.kind(), Kind::Damaged | Kind::NotFound | Kind::Newer) => {
            Ok(None)
        }
        Err(error) => Err(error.within(format!("read what {name} says of itself"))),
    }
}

/// What lies in one pack, from its end alone.
pub fn pack_entry(repository: &Repository, name: &FileName, size: u64) -> Result<PackEntry> {
    let damaged = |why: &str| Error::new(Kind::Damaged, "read its end").why(why.to_owned());
    let backend = repository.backend();
    if repository.keys.is_write_only() {
        return Err(write_only("read the end of a pack"));
    }
    let footer_at = size
        .checked_sub(units::bytes(FOOTER_BYTES))
        .filter(|at| *at >= units::bytes(HEADER_BYTES))
        .ok_or_else(|| damaged("it is too short"))?;
    let start = backend.read(name, 0..units::bytes(HEADER_BYTES))?;
    let footer = backend.read(name, footer_at..size)?;
    let length = end_length(&footer, size)?;
    let sealed = backend.read(name, footer_at - length..footer_at)?;
    let header = <[u8; HEADER_BYTES]>::try_from(start.as_slice())
        .map_err(|_| damaged("its header is cut off"))?;
    let mut trouble = None;
    for class in [PackClass::Data, PackClass::Meta] {
        let read = PackReader::new(repository.keys(), class, &start)
            .and_then(|reader| reader.open_end(&sealed));
        match read {
            Ok(blobs) if blobs_end(&blobs) == footer_at - length => {
                return Ok(PackEntry { id: name.id, class, size, header, blobs });
            }
            Ok(_) => trouble = Some(damaged("its list of blobs does not fit its size")),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    let unknown = || io_error(std::io::Error::from(std::io::ErrorKind::InvalidData), "read it");
    Err(trouble.unwrap_or_else(unknown)).within(|| "read its end")
}
