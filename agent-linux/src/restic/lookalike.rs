//! A path that is not there, and one that is there and looks the same: one letter can be written as one character or as
//! two (`ö`, or `o` and two dots), most keyboards write the first, a Mac stores the second, and Linux compares bytes.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// How many entries of a folder are looked at.
const MAX_ENTRIES: usize = 20_000;

/// The path that is there and looks the same as one that is not.
pub(crate) fn of(path: &Path) -> Option<PathBuf> {
    let mut here = PathBuf::new();
    let mut differs = false;
    for part in path.components() {
        let next = here.join(part);
        if fs::symlink_metadata(&next).is_ok() {
            here = next;
            continue;
        }
        let Component::Normal(name) = part else { return None };
        here = entry_like(&here, name.to_str()?)?;
        differs = true;
    }
    differs.then_some(here)
}

/// The entry of a folder that looks like this name.
fn entry_like(folder: &Path, name: &str) -> Option<PathBuf> {
    if name.is_ascii() {
        return None;
    }
    let wanted = decomposed(name);
    fs::read_dir(folder).ok()?.take(MAX_ENTRIES).flatten().find_map(|entry| {
        let found = entry.file_name();
        let found = found.to_str().filter(|found| !found.is_ascii())?;
        (decomposed(found) == wanted).then(|| entry.path())
    })
}

/// The name with each letter that has marks as its base and its marks: what Unicode calls NFD, for the letters of
/// Latin, Greek, Cyrillic, Japanese and Korean. A library that knows them all would make the agent larger by a fortieth.
fn decomposed(name: &str) -> String {
    let mut out = String::with_capacity(2 * name.len());
    for letter in name.chars() {
        decompose(letter, &mut out);
    }
    out
}

fn decompose(letter: char, out: &mut String) {
    if letter.is_ascii() {
        return out.push(letter);
    }
    if let Some(parts) = hangul(letter) {
        return out.extend(parts.into_iter().flatten());
    }
    let pair = MARKED.iter().find_map(|(mark, pairs)| {
        let mut letters = pairs.chars();
        while let (Some(base), Some(marked)) = (letters.next(), letters.next()) {
            if marked == letter {
                return Some((base, *mark));
            }
        }
        None
    });
    match pair {
        Some((base, mark)) => {
            decompose(base, out);
            out.push(mark);
        }
        None => out.push(letter),
    }
}

/// A Korean syllable as its two or three parts; they are laid out by a rule.
fn hangul(letter: char) -> Option<[Option<char>; 3]> {
    const MIDDLES: u32 = 21;
    const LASTS: u32 = 28;
    let index = u32::from(letter).checked_sub(0xac00).filter(|index| *index < 11_172)?;
    let (last, rest) = (index % LASTS, index / LASTS);
    let part = char::from_u32;
    Some([
        part(0x1100 + rest / MIDDLES),
        part(0x1161 + rest % MIDDLES),
        part(0x11a7 + last).filter(|_| last > 0),
    ])
}

/// Each mark with the letters that have it: the base, then the letter.
#[rustfmt::skip]
const MARKED: &[(char, &str)] = &[
    ('\u{300}', "AÀEÈIÌOÒUÙaàeèiìoòuùÜǛüǜNǸnǹЕЀИЍеѐиѝĒḔēḕŌṐōṑWẀwẁÂẦâầĂẰăằÊỀêềÔỒôồƠỜơờƯỪưừYỲyỳ"),
    ('\u{301}', "AÁEÉIÍOÓUÚYÝaáeéiíoóuúyýCĆcćLĹlĺNŃnńRŔrŕSŚsśZŹzźÜǗüǘGǴgǵÅǺåǻÆǼæǽØǾøǿ¨΅ΑΆΕΈΗΉΙΊΟΌΥΎΩΏϊΐαάεέηήιίϋΰ"),
    ('\u{301}', "οόυύωώϒϓГЃКЌгѓкќÇḈçḉĒḖēḗÏḮïḯKḰkḱMḾmḿÕṌõṍŌṒōṓPṔpṕŨṸũṹWẂwẃÂẤâấĂẮăắÊẾêếÔỐôốƠỚơớƯỨưứ"),
    ('\u{302}', "AÂEÊIÎOÔUÛaâeêiîoôuûCĈcĉGĜgĝHĤhĥJĴjĵSŜsŝWŴwŵYŶyŷZẐzẑẠẬạậẸỆẹệỌỘọộ"),
    ('\u{303}', "AÃNÑOÕaãnñoõIĨiĩUŨuũVṼvṽÂẪâẫĂẴăẵEẼeẽÊỄêễÔỖôỗƠỠơỡƯỮưữYỸyỹ"),
    ('\u{304}', "AĀaāEĒeēIĪiīOŌoōUŪuūÜǕüǖÄǞäǟȦǠȧǡÆǢæǣǪǬǫǭÖȪöȫÕȬõȭȮȰȯȱYȲyȳИӢиӣУӮуӯGḠgḡḶḸḷḹṚṜṛṝ"),
    ('\u{306}', "AĂaăEĔeĕGĞgğIĬiĭOŎoŏUŬuŭУЎИЙийуўЖӁжӂАӐаӑЕӖеӗȨḜȩḝẠẶạặ"),
    ('\u{307}', "CĊcċEĖeėGĠgġIİZŻzżAȦaȧOȮoȯBḂbḃDḊdḋFḞfḟHḢhḣMṀmṁNṄnṅPṖpṗRṘrṙSṠsṡŚṤśṥŠṦšṧṢṨṣṩTṪtṫWẆwẇXẊxẋYẎyẏſẛ"),
    ('\u{308}', "AÄEËIÏOÖUÜaäeëiïoöuüyÿYŸΙΪΥΫιϊυϋϒϔЕЁІЇеёіїАӒаӓӘӚәӛЖӜжӝЗӞзӟИӤиӥОӦоӧӨӪөӫЭӬэӭУӰуӱЧӴчӵЫӸыӹHḦhḧÕṎõṏŪṺ"),
    ('\u{308}', "ūṻWẄwẅXẌxẍtẗ"),
    ('\u{309}', "AẢaảÂẨâẩĂẲăẳEẺeẻÊỂêểIỈiỉOỎoỏÔỔôổƠỞơởUỦuủƯỬưửYỶyỷ"),
    ('\u{30a}', "AÅaåUŮuůwẘyẙ"),
    ('\u{30b}', "OŐoőUŰuűУӲуӳ"),
    ('\u{30c}', "CČcčDĎdďEĚeěLĽlľNŇnňRŘrřSŠsšTŤtťZŽzžAǍaǎIǏiǐOǑoǒUǓuǔÜǙüǚGǦgǧKǨkǩƷǮʒǯjǰHȞhȟ"),
    ('\u{30f}', "AȀaȁEȄeȅIȈiȉOȌoȍRȐrȑUȔuȕѴѶѵѷ"),
    ('\u{311}', "AȂaȃEȆeȇIȊiȋOȎoȏRȒrȓUȖuȗ"),
    ('\u{31b}', "OƠoơUƯuư"),
    ('\u{323}', "BḄbḅDḌdḍHḤhḥKḲkḳLḶlḷMṂmṃNṆnṇRṚrṛSṢsṣTṬtṭVṾvṿWẈwẉZẒzẓAẠaạEẸeẹIỊiịOỌoọƠỢơợUỤuụƯỰưựYỴyỵ"),
    ('\u{324}', "UṲuṳ"),
    ('\u{325}', "AḀaḁ"),
    ('\u{326}', "SȘsșTȚtț"),
    ('\u{327}', "CÇcçGĢgģKĶkķLĻlļNŅnņRŖrŗSŞsşTŢtţEȨeȩDḐdḑHḨhḩ"),
    ('\u{328}', "AĄaąEĘeęIĮiįUŲuųOǪoǫ"),
    ('\u{32d}', "DḒdḓEḘeḙLḼlḽNṊnṋTṰtṱUṶuṷ"),
    ('\u{32e}', "HḪhḫ"),
    ('\u{330}', "EḚeḛIḬiḭUṴuṵ"),
    ('\u{331}', "BḆbḇDḎdḏKḴkḵLḺlḻNṈnṉRṞrṟTṮtṯZẔzẕhẖ"),
    ('\u{3099}', "かがきぎくぐけげこごさざしじすずせぜそぞただちぢつづてでとどはばひびふぶへべほぼうゔゝゞカガキギクグケゲコゴサザシジスズセゼソゾタダチヂツヅテデトドハバヒビフブヘベホボウヴワヷヰヸヱヹヲヺヽヾ"),
    ('\u{309a}', "はぱひぴふぷへぺほぽハパヒピフプヘペホポ"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::UnicodeNormalization as _;

    #[test]
    fn what_it_takes_apart_is_what_unicode_takes_apart() {
        let is_covered = |letter: char| {
            matches!(letter,
                '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{52f}' | '\u{1e00}'..='\u{1eff}' | '\u{3040}'..='\u{30ff}'
                | '\u{ac00}'..='\u{d7a3}')
        };
        for letter in '\0'..='\u{ffff}' {
            let one = letter.to_string();
            let (ours, theirs) = (decomposed(&one), one.nfd().collect::<String>());
            // A few signs are another sign, without a mark: nobody writes the second.
            let is_sign = theirs.chars().count() == 1;
            if ours != one || is_covered(letter) && !is_sign {
                assert_eq!(ours, theirs, "{letter:?}");
            }
        }
    }

    const ONE: &str = "Gr\u{f6}\u{df}e";
    const TWO: &str = "Gro\u{308}\u{df}e";

    #[test]
    fn a_name_that_looks_the_same_is_found_at_each_depth_both_ways() {
        let scratch = tempfile::tempdir().expect("a folder");
        let top = scratch.path();
        for (there, asked) in [(ONE, TWO), (TWO, ONE), ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}")] {
            let folder = top.join(there);
            fs::create_dir_all(folder.join("plain").join(there)).expect("folders");
            assert_eq!(of(&top.join(asked)), Some(folder.clone()));
            let deep = folder.join("plain").join(there);
            assert_eq!(of(&top.join(asked).join("plain").join(asked)), Some(deep.clone()));
            assert_eq!(of(&deep.join("more")), None, "what is below is not there");
            fs::remove_dir_all(&folder).expect("removed");
        }
    }

    #[test]
    fn what_looks_different_is_not_taken_for_it() {
        let scratch = tempfile::tempdir().expect("a folder");
        let top = scratch.path();
        for there in ["Grosse", "Gr\u{f3}\u{df}e", "GR\u{d6}SSE", "plain"] {
            fs::create_dir(top.join(there)).expect("a folder");
        }
        for asked in [ONE, TWO, "Plain", "plain/../Gr\u{f6}sse"] {
            assert_eq!(of(&top.join(asked)), None, "{asked}");
        }
        assert_eq!(of(Path::new("")), None);
        assert_eq!(of(Path::new("/")), None);
    }
}
