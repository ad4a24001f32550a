//! Peers on loopback that misbehave, each on a port of its own choice.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A server that takes connections and says nothing, as a frozen process does.
pub struct SilentPeer {
    listener: TcpListener,
    /// Taken and kept: to close one would be to say something.
    visitors: Mutex<Vec<TcpStream>>,
}

impl SilentPeer {
    /// Begins to listen.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            listener,
            visitors: Mutex::default(),
        })
    }
    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
    /// Whether somebody has connected since the last time that this was asked.
    pub fn was_visited(&self) -> io::Result<bool> {
        self.listener.set_nonblocking(true)?;
        match self.listener.accept() {
            Ok((visitor, _)) => {
                let mut visitors = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
                visitors.push(visitor);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A port on which nobody listens, and which nobody else gets meanwhile: the socket that has it is
/// bound and does not listen.
pub struct ClosedPort {
    address: SocketAddr,
    /// Both ends of a connection keep the port from being given to another.
    _held: (TcpStream, TcpStream),
}

impl ClosedPort {
    /// Takes a port.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let near = TcpStream::connect(address)?;
        let (far, _) = listener.accept()?;
        Ok(Self {
            address,
            _held: (near, far),
        })
    }
    /// Where nobody listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A server that never stops answering: the head of an HTTP answer, then a header, byte by byte.
pub struct DrippingPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    closed: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
}

/// From one drop to the next: much less than any read timeout.
const DRIP: Duration = Duration::from_millis(20);

impl DrippingPeer {
    /// Begins to listen, with a thread for the peer and one for each connection.
    pub fn new() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("dripping-peer".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { continue };
                    if of_thread.closed.load(Ordering::Acquire) {
                        return;
                    }
                    if let Ok(copy) = stream.try_clone() {
                        let mut open = of_thread
                            .connections
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        open.push(copy);
                    }
                    thread::spawn(move || drip(stream));
                }
            })?;
        Ok(Self { address, shared })
    }
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Ends when the other side, or the peer itself, closes the connection.
fn drip(mut stream: TcpStream) {
    let mut next = stream.write_all(b"HTTP/1.1 200 OK\r\nx-drip: ");
    while next.is_ok() {
        thread::sleep(DRIP);
        next = stream.write_all(b"a");
    }
}

impl Drop for DrippingPeer {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        // One visit more wakes the thread that waits for visitors.
        drop(TcpStream::connect(self.address));
        let open = self
            .shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for stream in open.iter() {
            // An error says that it is closed already.
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
