// SPDX-License-Identifier: MIT
//! Passes a dump on unchanged, as a stream, and notes what it makes on the way.

use super::dump_text::{Content, Editor};
use super::inventory::DbKind;
use crate::base::{Error, Result};
use std::io::{self, Read};

/// Passes a dump on unchanged and notes what it makes.
pub struct Watch<'w> {
    content: &'w mut dyn Read,
    editor: Editor,
    failed: Option<Error>,
}

impl<'w> Watch<'w> {
    /// Watches a dump of this engine.
    pub fn new(content: &'w mut dyn Read, kind: DbKind) -> Self {
        Self { content, editor: Editor::new(kind, None), failed: None }
    }

    /// What has passed by.
    pub fn finish(self) -> Result<Content> {
        match self.failed {
            Some(error) => Err(error),
            None => self.editor.finish(&mut io::sink()),
        }
    }
}

impl Read for Watch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let (Some(piece), None) = (buffer.get(..count), &self.failed) {
            self.failed = self.editor.push(piece, &mut io::sink()).err();
        }
        Ok(count)
    }
}
