//! Measures whether the time that a refusal takes tells its reason, after the manner of dudect (Reparaz, Balasch, Verbauwhede: *Dude,
//! is my code constant time?*, 2017). `bench/timing` calls it.
//!
//! `timing ADDRESS FILE SAMPLES SEED`: each line of FILE is `class client-id secret`. It asks one server on one connection, all
//! classes in random order, and prints as JSON how well each two of them can be told apart. It ends at the first reply that differs
//! from another one in more than its date and its reference.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool for measuring ends at the first surprise and prints its figures"
)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Instant;

use serde_json::{Value, json};

/// Replies that are not counted: until then caches, buffers and branch predictors are cold.
const WARMING: usize = 5_000;
/// How many thresholds there are beyond which samples are left out, one after the other.
const THRESHOLDS: i32 = 100;
/// The fewest samples of a class of which a mean is taken.
const FEWEST: f64 = 1_000.0;
/// What may differ from reply to reply.
const OPAQUE: [&str; 2] = ["\r\ndate: ", "\r\nhallpass-ref: "];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, samples, seed] = &arguments[..] else { panic!("ADDRESS FILE SAMPLES SEED") };
    let (samples, mut dice) = (samples.parse::<usize>().unwrap(), Dice(seed.parse().unwrap()));
    let classes = read(&std::fs::read_to_string(file).unwrap());
    let mut connection = Connection::open(address, &classes[0].requests[0]);

    let mut order: Vec<usize> = (0..classes.len() * samples).map(|n| n % classes.len()).collect();
    dice.shuffle(&mut order);
    let mut times: Vec<Vec<f64>> = classes.iter().map(|_| Vec::with_capacity(samples)).collect();
    let warming: Vec<_> = (0..WARMING).map(|n| n % classes.len()).collect();
    for (n, class) in warming.iter().chain(&order).enumerate() {
        let requests = &classes[*class].requests;
        let took = connection.ask(&requests[dice.below(requests.len())]);
        if n >= WARMING {
            times[*class].push(took as f64);
        }
    }
    println!("{}", report(&classes, &times));
}

/// One reason for a refusal, with requests that meet it.
struct Class {
    name: String,
    requests: Vec<Vec<u8>>,
}

/// The requests of a file, as nginx would send them, all of one length.
fn read(text: &str) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    let mut lengths = std::collections::BTreeSet::new();
    for line in text.lines() {
        let [name, client_id, secret] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let request = format!(
            "GET /auth/nginx HTTP/1.1\r\nhost: gate.internal\r\nx-original-host: app.example.com\r\n\
             x-original-uri: /reports/daily\r\nx-original-method: GET\r\nx-real-ip: 192.0.2.7\r\n\
             cf-access-client-id: {client_id}\r\ncf-access-client-secret: {secret}\r\n\r\n"
        );
        lengths.insert(request.len());
        match classes.iter_mut().find(|class| class.name == name) {
            Some(class) => class.requests.push(request.into_bytes()),
            None => classes.push(Class { name: name.to_owned(), requests: vec![request.into_bytes()] }),
        }
    }
    assert_eq!(lengths.len(), 1, "requests differ in length: {lengths:?}");
    assert!(classes.windows(2).all(|two| two[0].requests.len() == two[1].requests.len()));
    classes
}

/// Where the order comes from: `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * end as u128) >> 64) as usize
    }

    fn shuffle(&mut self, list: &mut [usize]) {
        for n in (1..list.len()).rev() {
            list.swap(n, self.below(n + 1));
        }
    }
}

/// A connection, and the reply that all others have to be like.
struct Connection {
    stream: TcpStream,
    reply: Vec<u8>,
    expected: Vec<u8>,
    opaque: Vec<Range<usize>>,
}

impl Connection {
    /// Learns from one request what a reply looks like.
    fn open(address: &str, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(request).unwrap();
        let mut expected = vec![0; 4_096];
        let mut filled = 0;
        let (text, end) = loop {
            let read = stream.read(&mut expected[filled..]).unwrap();
            assert_ne!(read, 0, "the server hung up");
            filled += read;
            let text = String::from_utf8(expected[..filled].to_vec()).unwrap();
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let body = &head[head.find("\r\ncontent-length: ").expect("a length") + 18..];
                let body: usize = body.lines().next().unwrap().parse().unwrap();
                let end = head.len() + 4 + body;
                if filled >= end {
                    break (text, end);
                }
            }
        };
        assert!(text.starts_with("HTTP/1.1 401 ") && filled == end, "{text}");
        let value_of = |mark: &str| {
            let start = text.find(mark).unwrap_or_else(|| panic!("no {mark:?}: {text}")) + mark.len();
            start..start + text[start..].find("\r\n").unwrap()
        };
        let opaque = OPAQUE.map(value_of).to_vec();
        expected.truncate(end);
        // Whoever sleeps until the reply is there is woken sooner or later; whoever asks over and over sees it at once.
        stream.set_nonblocking(true).unwrap();
        Self { stream, reply: vec![0; end + 1], expected, opaque }
    }

    /// Nanoseconds from the first byte of a request to the last one of its reply.
    fn ask(&mut self, request: &[u8]) -> u64 {
        let Self { stream, reply, expected, opaque } = self;
        let mut filled = 0;
        let began = Instant::now();
        stream.write_all(request).unwrap();
        while filled < expected.len() {
            match stream.read(&mut reply[filled..]) {
                Ok(0) => panic!("the server hung up"),
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => panic!("{error}"),
            }
        }
        let took = began.elapsed();
        for hidden in opaque {
            reply[hidden.clone()].copy_from_slice(&expected[hidden.clone()]);
        }
        assert!(
            reply[..filled] == expected[..],
            "a reply differs from the first one: {}",
            String::from_utf8_lossy(&reply[..filled])
        );
        u64::try_from(took.as_nanos()).unwrap()
    }
}

/// Number, mean and variance of a sample.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Of the values below a threshold (Welford).
    fn below(threshold: f64, values: &[f64]) -> Self {
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in values.iter().filter(|value| **value < threshold) {
            count += 1.0;
            let off = value - mean;
            mean += off / count;
            squares += off * (value - mean);
        }
        Self { count, mean, variance: squares / (count - 1.0) }
    }
}

/// How far two classes are apart, with what is left of them below a threshold.
struct Apart {
    /// Welch's t.
    t: f64,
    /// The difference of the means, in nanoseconds.
    nanos: f64,
    /// The part of the samples that is below the threshold, in percent.
    percentile: f64,
}

/// Of all samples first, then of those below each threshold of dudect's. Slow ones, which say more of the machine than of the server,
/// are left out step by step, the same for both classes.
fn apart(one: &[f64], two: &[f64]) -> Vec<Apart> {
    let mut pooled = [one, two].concat();
    pooled.sort_by(f64::total_cmp);
    let cropped =
        (1..=THRESHOLDS).rev().map(|n| 1.0 - 0.5_f64.powf(f64::from(10 * n) / f64::from(THRESHOLDS)));
    let thresholds = cropped.map(|part| (part, pooled[(pooled.len() as f64 * part) as usize]));
    let all = std::iter::once((1.0, f64::INFINITY));
    let tests = all.chain(thresholds).filter_map(|(part, threshold)| {
        let (one, two) = (Moments::below(threshold, one), Moments::below(threshold, two));
        if one.count.min(two.count) < FEWEST {
            return None;
        }
        let nanos = one.mean - two.mean;
        let error = (one.variance / one.count + two.variance / two.count).sqrt();
        Some(Apart { t: nanos / error, nanos, percentile: part * 100.0 })
    });
    tests.collect()
}

fn report(classes: &[Class], times: &[Vec<f64>]) -> Value {
    let mut pairs = Vec::new();
    for (n, one) in classes.iter().enumerate() {
        for (m, two) in classes.iter().enumerate().skip(n + 1) {
            let tests = apart(&times[n], &times[m]);
            let worst = tests.iter().max_by(|a, b| a.t.abs().total_cmp(&b.t.abs())).expect("enough samples");
            pairs.push(json!({
                "one": one.name, "two": two.name, "tests": tests.len(), "raw_t": tests[0].t, "raw_nanos": tests[0].nanos,
                "worst_t": worst.t, "worst_nanos": worst.nanos, "worst_percentile": worst.percentile,
            }));
        }
    }
    let medians = classes.iter().zip(times).map(|(class, times)| {
        let mut sorted = times.clone();
        sorted.sort_by(f64::total_cmp);
        (class.name.clone(), json!(sorted[sorted.len() / 2]))
    });
    json!({"medians": medians.collect::<serde_json::Map<_, _>>(), "pairs": pairs})
}
