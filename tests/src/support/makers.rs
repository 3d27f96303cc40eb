//! An agent's maker, as far as a first start looks at it: servers that answer. Some ask how somebody wants to log in only where
//! they have reached them.
//!
//! They are reached by a proxy on loopback that answers for them, with a certificate that a test's own world trusts. Nothing
//! leaves the machine: what is asked of any other server is refused.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// The longest head of a request that is read.
const LONGEST_HEAD: usize = 64 * 1024;

/// Servers that answer for as long as the test runs.
#[derive(Debug)]
pub struct Makers {
    /// `HTTPS_PROXY`.
    pub proxy: String,
    /// The certificate to trust.
    pub certificate: Utf8PathBuf,
}

impl Makers {
    /// Servers with these names; the certificate lies in `dir`.
    pub fn answer(dir: &Utf8Path, names: &'static [&'static str]) -> Self {
        let signed = rcgen::generate_simple_self_signed(
            names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        )
        .expect("the names are names");
        let certificate = dir.join("makers.pem");
        std::fs::write(&certificate, signed.cert.pem()).expect("the world's directory is writable");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .expect("the key is the certificate's");
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || serve(stream, config, names)); // an error is a client that has gone
            }
        });
        Self {
            proxy: format!("http://127.0.0.1:{port}"),
            certificate,
        }
    }
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, names: &[&str]) -> io::Result<()> {
    let (head, _) = head(&mut stream)?;
    let is_asked = |name: &&str| head.starts_with(&format!("CONNECT {name}:443 "));
    if !names.iter().any(is_asked) {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    loop {
        let (head, begun) = self::head(&mut stream)?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, length)| length.trim().parse::<u64>().ok())
            .unwrap_or(0);
        let rest = length.saturating_sub(begun as u64);
        io::copy(&mut (&mut stream).take(rest), &mut io::sink())?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")?;
        stream.flush()?;
    }
}

/// The head of a request, and how much of its body was read with it.
fn head(stream: &mut impl Read) -> io::Result<(String, usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(at) = read.windows(END.len()).position(|part| part == END) {
            let begun = read.len() - at - END.len();
            return Ok((String::from_utf8_lossy(&read[..at]).into_owned(), begun));
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if read.len() > LONGEST_HEAD => return Err(io::ErrorKind::InvalidData.into()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
}
