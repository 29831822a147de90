//! A Rust service on the held socket (UPDATE_LISTEN), by listenfd.
use axum::http::header::{CONNECTION, HeaderValue};
use axum::{middleware, response::Response, routing::get, serve::Listener, Router};
use std::{env, error::Error, fs, io, net::SocketAddr, os::unix::net::UnixDatagram, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{signal, SignalKind};
use tokio::sync::watch;

fn listen() -> io::Result<TcpListener> {
    let listener = match listenfd::ListenFd::from_env().take_tcp_listener(0)? {
        Some(held) => held,
        None => std::net::TcpListener::bind("0.0.0.0:8080")?,
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn ready() {
    if let Some(path) = env::var_os("NOTIFY_SOCKET") {
        let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"READY=1", path));
    }
}

/// Accepts until the app is told to stop: what comes from then on waits for the next version.
struct UntilTold(TcpListener, watch::Receiver<bool>);

async fn told(word: &mut watch::Receiver<bool>) {
    let _ = word.wait_for(|told| *told).await;
}

impl Listener for UntilTold {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        tokio::select! {
            biased;
            () = told(&mut self.1) => std::future::pending().await,
            accepted = Listener::accept(&mut self.0) => accepted,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let version = fs::read_to_string("VERSION")?;
    let (tell, told) = watch::channel(false);
    let listener = UntilTold(listen()?, told.clone());
    let app = Router::new()
        .route("/", get(|| async move { version }))
        .layer(middleware::map_response(move |mut response: Response| {
            if *told.borrow() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            std::future::ready(response)
        }));
    let mut terminated = signal(SignalKind::terminate())?;
    ready();
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminated.recv().await;
            let _ = tell.send(true);
            // axum cuts connections that have not asked yet. So they have time to, and those that
            // are kept are told not to come back here.
            tokio::time::sleep(Duration::from_millis(200)).await;
        })
        .await?;
    Ok(())
}
