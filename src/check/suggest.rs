//! What an unknown word may have been meant to be.

/// Words of other tools, and ours.
const SYNONYMS: &[(&str, &str)] = &[
    ("add_indicator", "missing_indicator"),
    ("alpha", "rate"),
    ("batch_size", "batch"),
    ("batchsize", "batch"),
    ("binary_cross_entropy", "bce"),
    ("binary_crossentropy", "bce"),
    ("categorical_crossentropy", "cross_entropy"),
    ("ce", "cross_entropy"),
    ("columns", "only"),
    ("decay", "weight_decay"),
    ("early_stopping", "patience"),
    ("eta", "rate"),
    ("exclude", "drop"),
    ("features", "only"),
    ("fc", "dense"),
    ("groups", "group"),
    ("include", "only"),
    ("initializer", "init"),
    ("kaiming_normal", "he_normal"),
    ("kaiming_uniform", "he_uniform"),
    ("l1", "mae"),
    ("l2", "weight_decay"),
    ("l2", "mse"),
    ("label", "target"),
    ("labels", "target"),
    ("learning_rate", "rate"),
    ("linear", "dense"),
    ("lr", "rate"),
    ("lrelu", "leaky_relu"),
    ("max", "minmax"),
    ("min_frequency", "min_count"),
    ("n_iter_no_change", "patience"),
    ("normal", "standard"),
    ("output", "dense"),
    ("pinball", "quantile"),
    ("random_state", "seed"),
    ("rmse", "mse"),
    ("val", "validation"),
    ("val_split", "validation"),
    ("validation_split", "validation"),
    ("xavier_normal", "glorot_normal"),
    ("xavier_uniform", "glorot_uniform"),
    ("zscore", "standard"),
];

/// The word of the vocabulary that is meant, where one is near.
pub(super) fn nearest<'v>(word: &str, vocabulary: &[&'v str]) -> Option<&'v str> {
    // A long word is none of ours, and comparing it would take long.
    if word.chars().count() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let squeezed = |text: &str| text.replace('_', "");
    if let Some(same) = vocabulary.iter().find(|known| squeezed(known) == squeezed(&word)) {
        return Some(same);
    }
    let synonym = SYNONYMS
        .iter()
        .filter(|(other, _)| *other == word)
        .find_map(|(_, ours)| vocabulary.iter().find(|known| *known == ours));
    if let Some(ours) = synonym {
        return Some(ours);
    }
    let (distance, known) = vocabulary
        .iter()
        .map(|known| (strsim::osa_distance(&word, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    let length = word.chars().count().max(known.chars().count());
    // One slip in a short word, one more for every three letters.
    let near = distance <= (length / 3).max(1) && distance < word.chars().count();
    near.then_some(*known)
}

/// What to say about an unknown word: the nearest one, or all that there are.
pub(super) fn help(word: &str, vocabulary: &[&str], plural: &str) -> String {
    match nearest(word, vocabulary) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the {plural} are {}", listed(vocabulary)),
    }
}

/// `a`, `b` and `c`
pub(super) fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let activations = ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "gelu"];
        for (word, expected) in [
            ("sigmoyd", Some("sigmoid")),
            ("Tanh", Some("tanh")),
            ("leakyrelu", Some("leaky_relu")),
            ("leaky-relu", Some("leaky_relu")),
            ("rleu", Some("relu")),
            ("banana", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &activations), expected, "{word}");
        }
        assert_eq!(nearest("lr", &["rate", "momentum"]), Some("rate"));
    }
}
