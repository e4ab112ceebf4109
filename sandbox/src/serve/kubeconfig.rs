//! Kubeconfigs.

use std::net::SocketAddr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A kubeconfig with the authority's certificate in it and, for a user with a token, the token.
pub(super) fn render(address: SocketAddr, authority: &str, user: &str, token: Option<&str>) -> String {
    let authority = base64(authority.as_bytes());
    let credentials = match token {
        // JSON strings are YAML strings.
        Some(token) => format!("    token: {}\n", serde_json::Value::from(token)),
        None => "    {}\n".to_owned(),
    };
    let user = serde_json::Value::from(user);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: sandbox\n  cluster:\n    server: https://{address}\n    \
         certificate-authority-data: {authority}\nusers:\n- name: {user}\n  user:\n{credentials}contexts:\n- name: \
         sandbox\n  context:\n    cluster: sandbox\n    user: {user}\n    namespace: default\ncurrent-context: sandbox\n"
    )
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let sextet = (bits >> (18 - 6 * at)) & 63;
            let digit = char::from(ALPHABET[usize::try_from(sextet).unwrap_or_default()]);
            text.push(if at <= chunk.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_of_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
