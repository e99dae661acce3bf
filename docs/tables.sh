#!/bin/sh
# Times tables: reading, predicting and a whole run, beside pandas, polars and
# scikit-learn.
#
#   docs/tables.sh FOLDER HOUSING.csv
#
# FOLDER is for what is made on the way (1 GB); HOUSING.csv is the California
# housing table with the text column `ocean_proximity`. MLPC, READ and PYTHON
# name the programs, by default those of `cargo build --release --examples`.
set -eu
folder=$1 housing=$(realpath "$2")
here=$(cd "$(dirname "$0")/.." && pwd)
MLPC=${MLPC:-$here/target/release/mlpc}
READ=${READ:-$here/target/release/examples/read}
PYTHON=${PYTHON:-python3}
cd "$folder"

"$PYTHON" - <<'P'
import numpy as np, pandas as pd
r = np.random.default_rng(0)
d = pd.DataFrame(r.normal(size=(545_000, 20)), columns=[f"x{i}" for i in range(19)] + ["y"])
d["y"] = d.x0 * d.x1 + np.sin(d.x2) + 0.1 * d.y
d.to_csv("numbers.csv", index=False, float_format="%.6f")
P
printf 'data target=y\ninput auto -> dense 32 relu -> dense 1\nloss mse\n' > numbers.mlp

echo '# reading and encoding: the mean of 5 runs is theirs to compare'
"$READ" numbers.mlp numbers.csv 2
"$READ" numbers.mlp numbers.csv 1
"$PYTHON" - <<'P'
import time, pandas as pd
for _ in range(3):
    t = time.time(); pd.read_csv("numbers.csv"); print("pandas", round(time.time() - t, 3), "s")
P
for threads in 1 2; do
    POLARS_MAX_THREADS=$threads "$PYTHON" - <<'P'
import time, polars as pl
for _ in range(3):
    t = time.time(); pl.read_csv("numbers.csv")
    print("polars", pl.thread_pool_size(), "threads", round(time.time() - t, 3), "s")
P
done

echo '# CSV to CSV'
"$MLPC" run numbers.mlp numbers.csv -q --set train.epochs=1 --set train.batch=8192 > run.txt
time "$MLPC" predict numbers.safetensors numbers.csv -o predictions.csv

echo '# a whole run: 50 epochs, batch 64, 64-64-1, trained on 80% and tested on 20%'
"$PYTHON" - "$housing" <<'P'
import sys, pandas as pd
d = pd.read_csv(sys.argv[1]).sample(frac=1, random_state=0)
n = len(d) * 4 // 5
d[:n].to_csv("housing-train.csv", index=False); d[n:].to_csv("housing-test.csv", index=False)
P
cat > housing.mlp <<'T'
data target=median_house_value
# scikit-learn's initial weights
input auto -> dense 64 relu init=glorot_uniform -> dense 64 relu init=glorot_uniform -> dense 1
loss mse
adam 0.001
train epochs=50 batch=64 seed=7
T
time "$MLPC" run housing.mlp housing-train.csv --test housing-test.csv > run.txt
cat run.txt
cat > sk.py <<'P'
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
a, b = pd.read_csv("housing-train.csv"), pd.read_csv("housing-test.csv")
c, e = a.pop("median_house_value"), b.pop("median_house_value")
words = ["ocean_proximity"]; numbers = [name for name in a if name not in words]
encode = ColumnTransformer([
    ("n", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
    ("w", OneHotEncoder(handle_unknown="ignore"), words)])
net = MLPRegressor(hidden_layer_sizes=(64, 64), batch_size=64, max_iter=50, tol=0, n_iter_no_change=1000)
model = make_pipeline(encode, TransformedTargetRegressor(net, transformer=StandardScaler()))
print("R2", r2_score(e, model.fit(a, c).predict(b)))
P
time "$PYTHON" -W ignore sk.py
