//! Serves an empty sandbox until Ctrl-C: `cargo run -p kube-sandbox --example serve -- kubeconfig`.

use std::error::Error;

use kube_sandbox::Sandbox;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "kubeconfig".to_owned());
    let sandbox = Sandbox::new();
    let server = sandbox.serve("127.0.0.1:0".parse()?).await?;
    std::fs::write(&path, server.kubeconfig("admin"))?;
    println!(
        "An API server in memory, for trying and testing only, at https://{}",
        server.addr()
    );
    println!("KUBECONFIG={path} kubectl api-resources");
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
