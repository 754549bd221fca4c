// SPDX-License-Identifier: MIT
//! The folder names of mail domains: Hestia keeps the mail of `bücher.example` in a folder named
//! `xn--bcher-kva.example`. Names reach us as Hestia has stored them, lower case and composed, so
//! that what remains to be done is Punycode (RFC 3492), label by label.

const BASE: u32 = 36;
const TMIN: u32 = 1;
const TMAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;

/// The name as it is on the wire; `None` if it has no such form.
pub fn to_ascii(domain: &str) -> Option<String> {
    let labels: Option<Vec<String>> = domain.split('.').map(label_to_ascii).collect();
    Some(labels?.join("."))
}

fn label_to_ascii(label: &str) -> Option<String> {
    if label.is_ascii() {
        return Some(label.to_owned());
    }
    let label = label.to_lowercase();
    let mut out: String = label.chars().filter(char::is_ascii).collect();
    let letters: Vec<u32> = label.chars().map(u32::from).collect();
    let basic = u32::try_from(out.len()).ok()?;
    if basic > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias, mut handled) = (128_u32, 0_u32, 72_u32, basic);
    while usize::try_from(handled).ok()? < letters.len() {
        let next = letters.iter().copied().filter(|letter| *letter >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for letter in &letters {
            if *letter < n {
                delta = delta.checked_add(1)?;
            }
            if *letter == n {
                put(delta, bias, &mut out)?;
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(format!("xn--{out}"))
}

/// Writes one number, smallest digit first.
fn put(delta: u32, bias: u32, out: &mut String) -> Option<()> {
    let (mut rest, mut k) = (delta, BASE);
    loop {
        let threshold = k.saturating_sub(bias).clamp(TMIN, TMAX);
        if rest < threshold {
            out.push(digit(rest)?);
            return Some(());
        }
        out.push(digit(threshold + (rest - threshold) % (BASE - threshold))?);
        rest = (rest - threshold) / (BASE - threshold);
        k += BASE;
    }
}

/// Letters are 0 to 25 and figures 26 to 35, unlike in other numbers of base 36.
fn digit(value: u32) -> Option<char> {
    let code = if value < 26 { u32::from('a') + value } else { u32::from('0') + value - 26 };
    char::from_u32(code)
}

fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / DAMP } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > ((BASE - TMIN) * TMAX) / 2 {
        delta /= BASE - TMIN;
        k += BASE;
    }
    k + (BASE - TMIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_what_idn2_makes_of_them() {
        for (name, expected) in [
            ("a.example", "a.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("gsdir1-bücher.example", "xn--gsdir1-bcher-klb.example"),
            ("münchen.straße.de", "xn--mnchen-3ya.xn--strae-oqa.de"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("Ü.de", "xn--tda.de"),
            ("a-ü-b-é.com", "xn--a--b--fsa3k.com"),
        ] {
            assert_eq!(to_ascii(name).as_deref(), Some(expected), "{name}");
        }
    }
}
