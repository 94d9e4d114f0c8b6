//! The system calls of a process, by the log of `strace -f -y -xx`: writes, flushes, names, and the bytes of its sockets,
//! in their order.

use std::collections::HashMap;

use anyhow::{Context as _, bail};

/// The calls that strace has to log.
pub(crate) const CALLS: &str = "openat,lseek,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,\
                                link,linkat,unlink,unlinkat,sendto,writev,sendmsg,recvfrom,read";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TraceEvent {
    /// A file was opened, and created where there was none.
    Open {
        path: String,
        emptied: bool,
    },
    /// Bytes were written into a file: from now on they may be on disk.
    Write {
        path: String,
        at: u64,
        bytes: Vec<u8>,
    },
    Truncate {
        path: String,
        size: u64,
    },
    SyncBegins {
        path: String,
        id: usize,
    },
    SyncEnds {
        id: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Link {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Received {
        socket: String,
        bytes: Vec<u8>,
    },
    Sent {
        socket: String,
        bytes: Vec<u8>,
    },
}

pub(crate) fn parse_log(log: &str) -> anyhow::Result<Vec<TraceEvent>> {
    let mut reader = LogReader::default();
    for (number, line) in log.lines().enumerate() {
        reader.read_line(line).with_context(|| format!("line {}: {}", number + 1, &line[..line.len().min(200)]))?;
    }
    Ok(reader.events)
}

#[derive(Default)]
struct LogReader {
    events: Vec<TraceEvent>,
    begun: HashMap<String, BegunCall>,
    offsets: HashMap<u64, u64>,
    syncs: usize,
}

struct BegunCall {
    text: String,
    sync: Option<usize>,
}

impl LogReader {
    fn read_line(&mut self, line: &str) -> anyhow::Result<()> {
        let (thread, text) = line.split_once(' ').context("no thread")?;
        let text = text.trim_start();
        // Exits and signals.
        if text.starts_with("+++") || text.starts_with("---") {
            return Ok(());
        }
        if let Some(rest) = text.strip_prefix("<... ") {
            let begun = self.begun.remove(thread).context("an end without a beginning")?;
            // Threads interrupt each other's calls in the log: the halves belong together by their thread.
            let (_, rest) = rest.split_once("resumed>").context("no end")?;
            return self.end_call(&format!("{}{rest}", begun.text), begun.sync);
        }
        if let Some(text) = text.strip_suffix("<unfinished ...>") {
            let sync = self.begin_call(text)?;
            self.begun.insert(thread.to_owned(), BegunCall { text: text.to_owned(), sync });
            return Ok(());
        }
        let sync = self.begin_call(text)?;
        self.end_call(text, sync)
    }

    fn begin_call(&mut self, text: &str) -> anyhow::Result<Option<usize>> {
        // Bytes may be on disk, and a flush counts, from the beginning of a call.
        let (name, args) = text.split_once('(').context("no call")?;
        let args = CallArgs::split(args);
        match name {
            "pwrite64" => {
                let (_, path) = args.file_at(0)?;
                let (bytes, at) = (args.bytes_at(1)?, args.number_at(3)?);
                self.events.push(TraceEvent::Write { path, at, bytes });
            }
            "write" | "sendto" | "writev" | "sendmsg" => self.begin_write(name, &args)?,
            "fsync" | "fdatasync" => {
                self.syncs += 1;
                let (_, path) = args.file_at(0)?;
                self.events.push(TraceEvent::SyncBegins { path, id: self.syncs });
                return Ok(Some(self.syncs));
            }
            _ => {}
        }
        Ok(None)
    }

    fn begin_write(&mut self, name: &str, args: &CallArgs<'_>) -> anyhow::Result<()> {
        let (fd, path) = args.file_at(0)?;
        if path.starts_with("socket:") {
            self.events.push(TraceEvent::Sent { socket: path, bytes: args.all_bytes()? });
        } else if name == "write" && path.starts_with('/') {
            let at = self.offsets.entry(fd).or_default();
            let bytes = args.bytes_at(1)?;
            let begin = *at;
            *at += bytes.len() as u64;
            self.events.push(TraceEvent::Write { path, at: begin, bytes });
        }
        Ok(())
    }

    /// Names, sizes and received bytes count from the end of a successful call.
    fn end_call(&mut self, text: &str, sync: Option<usize>) -> anyhow::Result<()> {
        let (name, rest) = text.split_once('(').context("no call")?;
        let Some((args, answer)) =
            rest.rsplit_once(") ").and_then(|(args, end)| Some((args, end.trim().strip_prefix("= ")?)))
        else {
            // The process ended within the call.
            return Ok(());
        };
        if answer.starts_with('-') || answer.starts_with('?') {
            return if sync.is_some() { bail!("a flush failed: {answer}") } else { Ok(()) };
        }
        let args = CallArgs::split(args);
        match name {
            "openat" => {
                let (fd, path) = parse_file(answer)?;
                self.offsets.insert(fd, 0);
                let (made, emptied) = (args.text.contains("O_CREAT"), args.text.contains("O_TRUNC"));
                if made {
                    self.events.push(TraceEvent::Open { path, emptied });
                }
            }
            "lseek" => {
                self.offsets.insert(args.file_at(0)?.0, answer.parse()?);
            }
            "ftruncate" => {
                let (_, path) = args.file_at(0)?;
                self.events.push(TraceEvent::Truncate { path, size: args.number_at(1)? });
            }
            "fsync" | "fdatasync" => self.events.extend(sync.map(|id| TraceEvent::SyncEnds { id })),
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = args.two_paths()?;
                self.events.push(TraceEvent::Rename { from, to });
            }
            "link" | "linkat" => {
                let (from, to) = args.two_paths()?;
                self.events.push(TraceEvent::Link { from, to });
            }
            "unlink" | "unlinkat" => {
                let path = args.all_strings()?.into_iter().next().context("no path")?;
                self.events.push(TraceEvent::Unlink { path: String::from_utf8(path)? });
            }
            "recvfrom" | "read" => {
                let (fd, path) = args.file_at(0)?;
                if path.starts_with("socket:") {
                    self.events.push(TraceEvent::Received { socket: path, bytes: args.all_bytes()? });
                } else {
                    *self.offsets.entry(fd).or_default() += answer.parse::<u64>()?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

// With `-xx` no comma and no bracket is within a text, so that splitting needs no parser.
struct CallArgs<'a> {
    text: &'a str,
    each: Vec<&'a str>,
}

impl<'a> CallArgs<'a> {
    fn split(text: &'a str) -> Self {
        Self { text, each: text.split(", ").map(str::trim).collect() }
    }

    fn text_at(&self, index: usize) -> anyhow::Result<&'a str> {
        self.each.get(index).copied().with_context(|| format!("no argument {index}"))
    }

    fn file_at(&self, index: usize) -> anyhow::Result<(u64, String)> {
        parse_file(self.text_at(index)?)
    }

    fn number_at(&self, index: usize) -> anyhow::Result<u64> {
        let text = self.text_at(index)?;
        let text = text.split(')').next().unwrap_or(text);
        text.parse().with_context(|| format!("no number: {text}"))
    }

    fn bytes_at(&self, index: usize) -> anyhow::Result<Vec<u8>> {
        let text = self.text_at(index)?;
        decode_hex(text.strip_prefix('"').and_then(|text| text.split('"').next()).context("no text")?)
    }

    fn all_strings(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        self.text.split('"').skip(1).step_by(2).map(decode_hex).collect()
    }

    fn all_bytes(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.all_strings()?.concat())
    }

    fn two_paths(&self) -> anyhow::Result<(String, String)> {
        let mut paths = self.all_strings()?.into_iter().map(String::from_utf8);
        let (from, to) = (paths.next().context("no path")??, paths.next().context("no second path")??);
        Ok((from, to))
    }
}

/// `7</hex of a path>`.
fn parse_file(text: &str) -> anyhow::Result<(u64, String)> {
    let (fd, rest) = text.split_once('<').with_context(|| format!("no file: {text}"))?;
    let path = rest.split('>').next().unwrap_or(rest);
    Ok((fd.parse()?, String::from_utf8(decode_hex(path)?)?))
}

fn decode_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    let digits = text.split("\\x").skip(1);
    digits.map(|two| u8::from_str_radix(two, 16).with_context(|| format!("no byte: {two}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn calls_are_read_in_their_order_also_those_that_overlap() {
        let (file, socket) = (hex("/d/f"), hex("socket:[7]"));
        let log = format!(
            "12 openat(AT_FDCWD<{d}>, \"{file}\", O_RDWR|O_CREAT, 0644) = 5<{file}>\n\
             12 lseek(5<{file}>, 32, SEEK_SET) = 32\n\
             12  write(5<{file}>, \"{ab}\", 2) = 2\n\
             12 pwrite64(5<{file}>, \"{ab}\", 2, 9 <unfinished ...>\n\
             13 sendto(8<{socket}>, \"{ab}\", 2, MSG_NOSIGNAL, NULL, 0) = 2\n\
             12 <... pwrite64 resumed>) = 2\n\
             12 fdatasync(5<{file}> <unfinished ...>\n\
             13 recvfrom(8<{socket}>,  <unfinished ...>\n\
             13 <... recvfrom resumed>\"{ab}\", 100, 0, NULL, NULL) = 2\n\
             12 <... fdatasync resumed>) = 0\n\
             12 ftruncate(5<{file}>, 0) = 0\n\
             12 rename(\"{file}\", \"{d}\") = 0\n\
             12 unlink(\"{d}\") = -1 ENOENT (No such file or directory)\n\
             12 +++ exited with 0 +++\n",
            d = hex("/d"),
            ab = hex("ab"),
        );
        let (path, socket, bytes) = ("/d/f".to_owned(), "socket:[7]".to_owned(), b"ab".to_vec());
        assert_eq!(
            parse_log(&log).unwrap(),
            [
                TraceEvent::Open { path: path.clone(), emptied: false },
                TraceEvent::Write { path: path.clone(), at: 32, bytes: bytes.clone() },
                TraceEvent::Write { path: path.clone(), at: 9, bytes: bytes.clone() },
                TraceEvent::Sent { socket: socket.clone(), bytes: bytes.clone() },
                TraceEvent::SyncBegins { path: path.clone(), id: 1 },
                TraceEvent::Received { socket, bytes },
                TraceEvent::SyncEnds { id: 1 },
                TraceEvent::Truncate { path: path.clone(), size: 0 },
                TraceEvent::Rename { from: path, to: "/d".to_owned() },
            ]
        );
    }

    #[test]
    fn a_flush_that_failed_is_no_recording_to_judge_by() {
        let log = format!("1 fsync(5<{}>) = -1 EIO (Input/output error)", hex("/d/f"));
        assert!(parse_log(&log).unwrap_err().root_cause().to_string().contains("a flush failed"));
    }
}
