// SPDX-License-Identifier: MIT
//! The members of a tar stream, one after another: old, ustar, GNU and PAX headers. Strict where a
//! lenient reader would guess: a wrong checksum, a missing end mark, bytes behind it or a member
//! type with rules of its own (sparse, multi-volume) is an error, because a guess here is wrong
//! data in a backup. Memory is bounded by [`limits::TAR_EXTENSION_BYTES_MAX`].

use crate::base::error::io_error;
use crate::base::path::display_bytes;
use crate::base::units::{bytes, length};
use crate::base::{Error, Kind, Result, Timestamp, limits};
use crate::format::tree::{Meta, NodeKind};
use std::io::{self, Read};

/// The unit of a tar stream.
pub(crate) const BLOCK: u64 = 512;

/// One member; its content follows in [`Members`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name as written: unchecked.
    pub name: Vec<u8>,
    /// All the header says about it. For a hard link kind and size mean nothing.
    pub meta: Meta,
    /// Of a hard link: the name of the member it is another name of, unchecked.
    pub same_as: Option<Vec<u8>>,
    /// What the header says that cannot be kept.
    pub lost: Option<&'static str>,
}

/// Reads members.
#[derive(Debug)]
pub(crate) struct Members<R> {
    reader: R,
    /// How errors call this stream, such as `the tar stream`.
    label: String,
    /// The member in hand, for messages.
    current: Vec<u8>,
    /// Bytes of its content not read yet.
    remaining: u64,
    /// Bytes that fill its last block.
    padding: u64,
    /// Offset of the next byte of the stream.
    position: u64,
    global: Pax,
    ended: bool,
}

impl<R: Read> Members<R> {
    /// Starts at the first byte of the stream.
    pub fn new(reader: R, label: String) -> Self {
        Self {
            reader,
            label,
            current: Vec::new(),
            remaining: 0,
            padding: 0,
            position: 0,
            global: Pax::default(),
            ended: false,
        }
    }

    /// How errors call this stream.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Where the content of the member in hand goes on, counted from the start of the stream.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes of the member's content not read yet.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The next member; what is left of the one before is skipped. `None` after the end mark, once
    /// nothing but zeros followed it.
    pub fn next(&mut self) -> Result<Option<Member>> {
        self.skip_rest()?;
        if self.ended {
            return Ok(None);
        }
        let mut extensions = Extensions::default();
        loop {
            let block = self.block()?;
            if block.iter().all(|byte| *byte == 0) {
                if extensions != Extensions::default() {
                    return Err(self.wrong("an extended header describes no member"));
                }
                self.check_end()?;
                self.ended = true;
                return Ok(None);
            }
            let header = tar::Header::from_byte_slice(&block);
            if !checksum_fits(header) {
                return Err(self.wrong("the checksum of a header does not match"));
            }
            let old = header.as_old();
            let [kind] = old.linkflag;
            let size = self.number(&old.size, "size")?;
            let again = match kind {
                b'x' => {
                    let text = self.extension(size)?;
                    let mut pax = self.global.clone();
                    pax.read(&text).map_err(|why| self.wrong(why))?;
                    extensions.pax.replace(pax).is_some()
                }
                b'g' => {
                    let text = self.extension(size)?;
                    let mut pax = self.global.clone();
                    pax.read(&text).map_err(|why| self.wrong(why))?;
                    self.global = pax;
                    self.global.path.is_some()
                        || self.global.link.is_some()
                        || self.global.size.is_some()
                }
                b'L' => extensions.name.replace(until_nul(&self.extension(size)?)).is_some(),
                b'K' => extensions.link.replace(until_nul(&self.extension(size)?)).is_some(),
                b'V' => {
                    self.remaining = size;
                    self.padding = padding(size);
                    self.skip_rest()?;
                    false
                }
                _ => return self.member(header, kind, size, extensions).map(Some),
            };
            if again {
                return Err(self.wrong("its extended headers contradict each other"));
            }
        }
    }

    /// Reads from the content of the member in hand; 0 at its end. Fails if the stream ends first.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(length(self.remaining));
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else {
            return Ok(0);
        };
        let got = self.reader.read(buffer).map_err(|cause| match cause.kind() {
            io::ErrorKind::Interrupted => cause,
            _ => foreign(cause, self.what()).into(),
        })?;
        if got == 0 {
            return Err(self.wrong(CUT_OFF).into());
        }
        self.remaining -= bytes(got);
        self.position += bytes(got);
        Ok(got)
    }

    /// Lets the caller move the reader past the rest of the content, for a reader that can do so
    /// without reading.
    pub fn pass_over(&mut self, pass: impl FnOnce(&mut R, u64) -> io::Result<()>) -> Result<()> {
        let skip = self.remaining + self.padding;
        if skip > 0 {
            pass(&mut self.reader, skip).map_err(|cause| foreign(cause, self.what()))?;
        }
        self.position += skip;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// An error about the member in hand.
    pub fn wrong(&self, why: impl Into<String>) -> Error {
        Error::new(Kind::Parsing, self.what()).why(why)
    }

    fn what(&self) -> String {
        if self.current.is_empty() {
            format!("read {}", self.label)
        } else {
            format!("read {} at its member '{}'", self.label, display_bytes(&self.current))
        }
    }

    fn skip_rest(&mut self) -> Result<()> {
        // Padding is read as if it were content.
        self.remaining += std::mem::take(&mut self.padding);
        let mut buffer = [0; 4096];
        while self.remaining > 0 {
            match self.read(&mut buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                done => {
                    done.map_err(|cause| foreign(cause, self.what()))?;
                }
            }
        }
        Ok(())
    }

    fn block(&mut self) -> Result<[u8; 512]> {
        let mut block = [0; 512];
        self.reader.read_exact(&mut block).map_err(|cause| self.cut_off(cause))?;
        self.position += BLOCK;
        Ok(block)
    }

    /// The error of a reader that could not fill a buffer. If a decompressor had a complaint of its
    /// own, it is kept.
    fn cut_off(&self, cause: io::Error) -> Error {
        match (cause.kind(), cause.get_ref()) {
            (io::ErrorKind::UnexpectedEof, None) => self.wrong(CUT_OFF),
            (io::ErrorKind::UnexpectedEof, Some(why)) => self.wrong(format!("{CUT_OFF} ({why})")),
            _ => foreign(cause, self.what()),
        }
    }

    /// The end mark is two blocks of zeros; nothing but zeros may follow.
    fn check_end(&mut self) -> Result<()> {
        if self.block()?.iter().any(|byte| *byte != 0) {
            return Err(self.wrong("its end mark is half a mark"));
        }
        let mut buffer = vec![0; 32 * 1024];
        let mut zeros: u64 = 0;
        loop {
            let got = match self.reader.read(&mut buffer) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                done => done.map_err(|cause| foreign(cause, self.what()))?,
            };
            zeros += bytes(got);
            if got == 0 {
                return Ok(());
            }
            if buffer.iter().take(got).any(|byte| *byte != 0) {
                return Err(self.wrong("something follows its end mark"));
            }
            if zeros > limits::TAR_PADDING_BYTES_MAX {
                return Err(self.wrong("too many zeros follow its end mark"));
            }
        }
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > limits::TAR_EXTENSION_BYTES_MAX {
            return Err(self.wrong(format!("an extended header of {size} bytes is too long")));
        }
        let mut text = vec![0; length(size + padding(size))];
        self.reader.read_exact(&mut text).map_err(|cause| self.cut_off(cause))?;
        self.position += bytes(text.len());
        text.truncate(length(size));
        Ok(text)
    }

    fn number(&self, field: &[u8], name: &str) -> Result<u64> {
        number(field)
            .and_then(|value| u64::try_from(value).ok())
            .ok_or_else(|| self.wrong(format!("the {name} in a header is no number")))
    }

    fn member(
        &mut self,
        header: &tar::Header,
        flag: u8,
        size: u64,
        extensions: Extensions,
    ) -> Result<Member> {
        let old = header.as_old();
        let pax = extensions.pax.unwrap_or_else(|| self.global.clone());
        let name = pax.path.or(extensions.name).unwrap_or_else(|| header_name(header));
        self.current.clone_from(&name);
        if pax.sparse {
            return Err(self.wrong(SPARSE));
        }
        let kind = self.kind(flag, &name)?;
        let size = pax.size.unwrap_or(size);
        let has_content = flag != b'1' && kind == NodeKind::File;
        if size > i64::MAX.unsigned_abs() || (size > 0 && !has_content) {
            return Err(self.wrong(format!("a size of {size} bytes makes no sense there")));
        }
        let link = pax.link.or(extensions.link).unwrap_or_else(|| until_nul(&old.linkname));
        let mtime = number(&old.mtime).ok_or_else(|| self.wrong("its time is no number"))?;
        let (user, group) = header_owners(header);
        let mut meta = Meta {
            kind,
            mode: u32::try_from(self.number(&old.mode, "mode")? & 0o7777).unwrap_or(0),
            uid: self.owner(pax.uid, &old.uid, "owner")?,
            gid: self.owner(pax.gid, &old.gid, "group")?,
            user: pax.user.unwrap_or(user),
            group: pax.group.unwrap_or(group),
            mtime: pax.mtime.unwrap_or(Timestamp::from_seconds(mtime)),
            size,
            links: 1,
            xattrs: pax.xattrs,
            ..Meta::default()
        };
        if kind == NodeKind::Symlink {
            meta.target.clone_from(&link);
        }
        self.remaining = size;
        self.padding = padding(size);
        let same_as = (flag == b'1').then_some(link);
        Ok(Member { name, meta, same_as, lost: pax.lost })
    }

    fn kind(&self, flag: u8, name: &[u8]) -> Result<NodeKind> {
        Ok(match flag {
            // Before there was a flag for folders, a trailing slash told them.
            0 | b'0' | b'7' if name.ends_with(b"/") => NodeKind::Folder,
            0 | b'0' | b'7' | b'1' => NodeKind::File,
            b'2' => NodeKind::Symlink,
            b'3' => NodeKind::CharDevice,
            b'4' => NodeKind::BlockDevice,
            b'5' => NodeKind::Folder,
            b'6' => NodeKind::Fifo,
            b'S' => return Err(self.wrong(SPARSE)),
            b'M' => return Err(self.wrong("archives in several volumes are not supported")),
            other => {
                let flag = display_bytes(&[other]);
                return Err(self.wrong(format!("members of type '{flag}' are not supported")));
            }
        })
    }

    fn owner(&self, pax: Option<u64>, field: &[u8], name: &str) -> Result<u32> {
        let id = pax.map_or_else(|| self.number(field, name), Ok)?;
        u32::try_from(id).map_err(|_| self.wrong(format!("its {name} {id} is too large")))
    }
}

const CUT_OFF: &str = "the archive is cut off";
const SPARSE: &str = "sparse members are not supported: make the archive without --sparse";

/// Bytes that fill the last block of `size` bytes.
pub(crate) fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// Makes our error from that of a foreign reader: what the operating system says is its word;
/// everything else (a decompressor's complaint) means that the archive is broken.
pub(crate) fn foreign(cause: io::Error, what: String) -> Error {
    let ours = cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Error>);
    if ours || cause.raw_os_error().is_some() {
        io_error(cause, what)
    } else {
        Error::new(Kind::Parsing, what).cause(cause)
    }
}

/// What extended headers said about the next member.
#[derive(Debug, Default, PartialEq, Eq)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

/// The keys of a PAX header that mean something here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    user: Option<String>,
    group: Option<String>,
    mtime: Option<Timestamp>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
    lost: Option<&'static str>,
}

impl Pax {
    /// Reads the records of one header: `LENGTH KEY=VALUE\n`.
    fn read(&mut self, mut text: &[u8]) -> Result<(), &'static str> {
        let wrong = "a record of its extended header makes no sense";
        while !text.is_empty() {
            let space = text.iter().take(20).position(|byte| *byte == b' ').ok_or(wrong)?;
            let digits = text.get(..space).ok_or(wrong)?;
            let whole = length(decimal(digits).ok_or(wrong)?);
            let record = text.get(space + 1..whole).ok_or(wrong)?;
            let (last, record) = record.split_last().ok_or(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(wrong)?;
            let (key, value) = record.split_at(equals);
            let value = value.get(1..).ok_or(wrong)?;
            if *last != b'\n' {
                return Err(wrong);
            }
            self.set(key, value)?;
            text = text.get(whole..).ok_or(wrong)?;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = || match value {
            b"" => Ok(None),
            digits => decimal(digits).map(Some).ok_or("a number in its extended header is none"),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"uname" => self.user = Some(owner_name(value)),
            b"gname" => self.group = Some(owner_name(value)),
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => {
                self.mtime = Some(time(value).ok_or("a time in its extended header is none")?);
            }
            b"SCHILY.realsize" => self.sparse = true,
            b"SCHILY.acl.access" | b"SCHILY.acl.default" => {
                self.lost = Some("its access control list is in a form that is not kept");
            }
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(attribute_name(name), value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: &[u8]) -> Result<(), &'static str> {
        match self.xattrs.binary_search_by(|(one, _)| one.cmp(&name)) {
            Ok(_) => return Err("an extended attribute is there twice"),
            Err(place) => self.xattrs.insert(place, (name, value.to_vec())),
        }
        let total: usize = self.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if total > limits::XATTR_BYTES_MAX {
            return Err("its extended attributes are too long");
        }
        Ok(())
    }
}

/// GNU tar writes `%` and `=` in names of attributes as `%25` and `%3D`.
fn attribute_name(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if let Some(tail) = rest.strip_prefix(b"3D").filter(|_| *first == b'%') {
            plain.push(b'=');
            rest = tail;
        } else if let Some(tail) = rest.strip_prefix(b"25").filter(|_| *first == b'%') {
            plain.push(b'%');
            rest = tail;
        } else {
            plain.push(*first);
        }
    }
    plain
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `[-]SECONDS[.FRACTION]`; digits below a nanosecond are cut.
fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|byte| *byte == b'.').unwrap_or(text.len());
    let whole = i64::try_from(decimal(text.get(..dot)?)?).ok()?;
    let fraction = text.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut nanos: u32 = 0;
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |digit| u32::from(digit - b'0'));
        nanos = nanos * 10 + digit;
    }
    Some(match (negative, nanos) {
        (false, _) => Timestamp { seconds: whole, nanos },
        (true, 0) => Timestamp { seconds: -whole, nanos },
        (true, _) => Timestamp { seconds: -whole - 1, nanos: 1_000_000_000 - nanos },
    })
}

/// A number in a header: octal digits, or two's complement if the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The first byte holds a flag and seven bits of the number, sign first.
        let start = i128::from(first & 0x3f) - if first & 0x40 == 0 { 0 } else { 0x40 };
        let value = rest.iter().try_fold(start, |value, byte| {
            value.checked_mul(256).map(|value| value + i128::from(*byte))
        });
        return i64::try_from(value?).ok();
    }
    let blank = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().take_while(|byte| **byte == b' ').count();
    let digits = field.get(start..)?;
    let end = digits.iter().position(blank).unwrap_or(digits.len());
    let (digits, tail) = digits.split_at(end);
    if !tail.iter().all(blank) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// The sum of all bytes, the checksum itself counted as blanks. Some old programs summed signed.
fn checksum_fits(header: &tar::Header) -> bool {
    let (mut plain, mut signed): (i64, i64) = (0, 0);
    for (place, byte) in header.as_bytes().iter().enumerate() {
        let byte = if (148..156).contains(&place) { b' ' } else { *byte };
        plain += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    number(&header.as_old().cksum).is_some_and(|sum| sum == plain || sum == signed)
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn owner_name(name: &[u8]) -> String {
    // A name that is no UTF-8 is no name of an account; the number remains.
    String::from_utf8(until_nul(name)).unwrap_or_default()
}

fn header_name(header: &tar::Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(mut prefix) if !prefix.is_empty() => {
            prefix.push(b'/');
            prefix.extend_from_slice(&name);
            prefix
        }
        _ => name,
    }
}

fn header_owners(header: &tar::Header) -> (String, String) {
    if let Some(ustar) = header.as_ustar() {
        (owner_name(&ustar.uname), owner_name(&ustar.gname))
    } else if let Some(gnu) = header.as_gnu() {
        (owner_name(&gnu.uname), owner_name(&gnu.gname))
    } else {
        (String::new(), String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_headers_are_octal_or_binary() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\x01"), Some((2 << 32) + 1));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        for wrong in
            [&b"12a\0"[..], b"-1\0\0", b"9\0", b"1\0x2", b"", b"\x81\0\0\0\0\0\0\0\0\0\0\0"]
        {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn times_have_nanoseconds_and_a_sign() {
        let stamp = |seconds, nanos| Some(Timestamp { seconds, nanos });
        assert_eq!(time(b"12.5"), stamp(12, 500_000_000));
        assert_eq!(time(b"12"), stamp(12, 0));
        assert_eq!(time(b"-1.25"), stamp(-2, 750_000_000));
        assert_eq!(time(b"-3"), stamp(-3, 0));
        assert_eq!(time(b"1.0000000019"), stamp(1, 1));
        for wrong in [&b""[..], b".5", b"1.x", b"--1", b"99999999999999999999"] {
            assert_eq!(time(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn pax_records_are_read_by_their_length() {
        let mut pax = Pax::default();
        pax.read(b"12 path=a\nb\n20 SCHILY.xattr.u=\xff\n6 a=b\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a\nb"[..]));
        assert_eq!(pax.xattrs, vec![(b"u".to_vec(), vec![0xff])]);
        for wrong in
            [&b"3 a=b\n"[..], b"99 a=b\n", b"x a=b\n", b"6 a=bx", b"0 ", b"6 aab\n", b"6a=b\n"]
        {
            assert!(Pax::default().read(wrong).is_err(), "{wrong:?}");
        }
        let big = u64::MAX.to_string();
        assert!(Pax::default().read(format!("{big} a=b\n").as_bytes()).is_err());
    }

    #[test]
    fn attribute_names_are_unescaped_as_gnu_tar_does() {
        assert_eq!(attribute_name(b"user.a%3Db%25c%"), b"user.a=b%c%");
    }
}
