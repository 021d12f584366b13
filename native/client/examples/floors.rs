//! What the machine itself moves, for `make bench`: no transport of large chunks can be faster.
//!
//! `floors memcpy|socket BLOCK TOTAL` moves TOTAL bytes in blocks of BLOCK bytes, within memory or
//! through a unix socket from one thread to another; `floors cores` passes a number to and fro between
//! two threads, which takes several times as long when their processors share no cache. Prints one JSON
//! object of figures.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args == ["cores"] {
        println!("{{\"one_way_ns\":{:.0}}}", cores()?);
        return Ok(());
    }
    let [way, block, total] = args.as_slice() else {
        return Err("needed: memcpy|socket BLOCK TOTAL, or cores".into());
    };
    let block: usize = block.parse()?;
    let count = (total.parse::<usize>()? / block).max(1);
    let elapsed = match way.as_str() {
        "memcpy" => memcpy(block, count),
        "socket" => socket(block, count)?,
        _ => return Err("the first argument is memcpy or socket".into()),
    };
    println!("{{\"mb_per_s\":{:.1}}}", (block * count) as f64 / elapsed.as_secs_f64() / 1e6);
    Ok(())
}

fn cores() -> Result<f64, Failure> {
    const PASSES: u32 = 1_000_000;
    static BALL: AtomicU32 = AtomicU32::new(0);
    let play = |own: u32| {
        for pass in (own..PASSES).step_by(2) {
            while BALL.load(Ordering::Acquire) != pass {
                spin_loop();
            }
            BALL.store(pass + 1, Ordering::Release);
        }
    };
    let start = Instant::now();
    let other = thread::spawn(move || play(1));
    play(0);
    other.join().map_err(|_| "the other thread panicked")?;
    Ok(start.elapsed().as_nanos() as f64 / f64::from(PASSES))
}

// Filled with something, so that every page is there before the clock starts.
fn memcpy(block: usize, count: usize) -> Duration {
    let from = vec![0xff_u8; block];
    let mut to = vec![0x01_u8; block];
    let start = Instant::now();
    for _ in 0..count {
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
    }
    start.elapsed()
}

fn socket(block: usize, count: usize) -> Result<Duration, Failure> {
    let (mut writer, mut reader) = UnixStream::pair()?;
    let data = vec![0xff_u8; block];
    let mut received = vec![0x01_u8; block];
    let start = Instant::now();
    let writing = thread::spawn(move || {
        for _ in 0..count {
            writer.write_all(&data)?;
        }
        Ok::<_, std::io::Error>(())
    });
    for _ in 0..count {
        reader.read_exact(&mut received)?;
        black_box(&mut received);
    }
    let elapsed = start.elapsed();
    writing.join().map_err(|_| "the writing thread panicked")??;
    Ok(elapsed)
}
