// SPDX-License-Identifier: MIT
//! The side that gives the orders: sends them ahead within bounds and matches the replies, which
//! come in the order of the items. A deputy that is silent, dead or talks nonsense ends the whole
//! with an error; it can never make us wait for ever.

use super::{Order, Reply, decode_reply, encode_order, frame_head};
use crate::base::error::io_error;
use crate::base::monitor::check_cancelled;
use crate::base::{Error, Kind, Monitor, Result, WhatIo, World, limits, units};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Takes the replies, in the order of the orders that are answered.
pub trait Answers {
    /// What became of the oldest item that is not answered yet.
    fn answered(&mut self, reply: Reply);
}

/// A deputy at work.
pub struct Deputy<'w> {
    socket: UnixStream,
    world: &'w World,
    monitor: &'w dyn Monitor,
    /// Bytes of replies that are not complete yet.
    heard: Vec<u8>,
    /// Replies that are awaited.
    owed: usize,
    last_sign: Duration,
}

/// How long one try of sending or hearing takes at most; between tries we look whether to stop.
const TRY: Duration = Duration::from_millis(100);

impl<'w> Deputy<'w> {
    /// Talks over this socket, whose other end the deputy has.
    pub fn new(socket: UnixStream, world: &'w World, monitor: &'w dyn Monitor) -> Result<Self> {
        socket.set_read_timeout(Some(TRY)).what_io(|| "set up a socket")?;
        socket.set_write_timeout(Some(TRY)).what_io(|| "set up a socket")?;
        let last_sign = world.ticks();
        Ok(Self { socket, world, monitor, heard: Vec::new(), owed: 0, last_sign })
    }

    /// Sends an order, ahead of the replies to earlier ones.
    pub fn order(&mut self, order: &Order, answers: &mut dyn Answers) -> Result<()> {
        while self.owed >= limits::DEPUTY_ITEMS_IN_FLIGHT {
            self.hear(true, answers)?;
        }
        self.send(&encode_order(order), answers)?;
        if !order.is_answered() {
            return Ok(());
        }
        self.owed += 1;
        // Those that are there already are taken, so that neither side's buffer fills up.
        self.hear(false, answers)
    }

    /// Waits for all replies that are owed.
    pub fn settle(&mut self, answers: &mut dyn Answers) -> Result<()> {
        while self.owed > 0 {
            self.hear(true, answers)?;
        }
        Ok(())
    }

    fn send(&mut self, mut bytes: &[u8], answers: &mut dyn Answers) -> Result<()> {
        while !bytes.is_empty() {
            check_cancelled(self.monitor)?;
            match self.socket.write(bytes) {
                Ok(0) => return Err(gone()),
                Ok(count) => {
                    bytes = bytes.get(count..).unwrap_or_default();
                    self.last_sign = self.world.ticks();
                }
                Err(error) if is_pause(error.kind()) => {
                    // It may be stuck because nobody takes its replies.
                    self.hear(false, answers)?;
                    self.check_alive()?;
                }
                Err(error) => return Err(lost(error)),
            }
        }
        Ok(())
    }

    /// Takes replies in: what is there, or at least something.
    fn hear(&mut self, wait: bool, answers: &mut dyn Answers) -> Result<()> {
        self.socket.set_nonblocking(!wait).what_io(|| "set up a socket")?;
        let heard = self.hear_some(wait, answers);
        self.socket.set_nonblocking(false).what_io(|| "set up a socket")?;
        heard
    }

    fn hear_some(&mut self, wait: bool, answers: &mut dyn Answers) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            check_cancelled(self.monitor)?;
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(gone()),
                Ok(count) => {
                    self.last_sign = self.world.ticks();
                    self.heard.extend_from_slice(buffer.get(..count).unwrap_or_default());
                    if self.take_replies(answers)? || !wait {
                        return Ok(());
                    }
                }
                Err(error) if is_pause(error.kind()) && !wait => return Ok(()),
                Err(error) if is_pause(error.kind()) => self.check_alive()?,
                Err(error) => return Err(lost(error)),
            }
        }
    }

    /// Hands on the replies that are complete; says whether there was one.
    fn take_replies(&mut self, answers: &mut dyn Answers) -> Result<bool> {
        let mut used = 0;
        while let Some(head) = self.heard.get(used..).and_then(|rest| rest.first_chunk::<5>()) {
            let (kind, length) = frame_head(*head, limits::DEPUTY_TEXT_BYTES_MAX * 2)?;
            let Some(payload) = self.heard.get(used + 5..used + 5 + length) else { break };
            let reply = decode_reply(kind, payload)?;
            self.owed = self.owed.checked_sub(1).ok_or_else(|| {
                Error::new(Kind::Internal, "understand the other process")
                    .why("it answered what it was not asked")
            })?;
            used += 5 + length;
            answers.answered(reply);
        }
        self.heard.drain(..used);
        Ok(used > 0)
    }

    fn check_alive(&self) -> Result<()> {
        let silence = self.world.ticks().saturating_sub(self.last_sign);
        if silence < Duration::from_secs(limits::DEPUTY_SILENCE_SECONDS) {
            return Ok(());
        }
        Err(Error::new(Kind::Load, "wait for the process that acts as the user")
            .why(format!("it was silent for {}", units::Span(silence)))
            .hint("the disk may be too slow, or the user stopped the process"))
    }
}

fn is_pause(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn gone() -> Error {
    Error::new(Kind::Partial, "go on").why("the process that acts as the user ended")
}

fn lost(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => gone(),
        _ => io_error(error, "talk to the process that acts as the user"),
    }
}
