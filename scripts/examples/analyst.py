"""Which customers leave: a table of words, gaps and a rare answer, from a file to a saved model.

    python -m scripts.examples.analyst [FOLDER]

``customers.csv`` is made up.  scikit-learn's imputers, encoder and scaler bring its table to
numbers for a network; five stratified folds say how well it does; it is saved in the folder, and
another process loads it and predicts the same.  It needs ``pip install "xpnet[sklearn]" pandas``.
"""

import subprocess
import sys
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from xpnet.sklearn import NetworkClassifier

TABLE = Path(__file__).with_name("customers.csv")
LOAD = "import sys, joblib, pandas; model, table = sys.argv[1:]"
PREDICT = f"{LOAD}; print(*joblib.load(model).predict(pandas.read_csv(table)))"


def main(folder: str = ".") -> tuple[float, bool]:
    """Return the balanced accuracy over the folds, and whether predictions elsewhere are equal."""
    df = pd.read_csv(TABLE)
    words = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    numbers = make_pipeline(SimpleImputer(), StandardScaler()), ["age", "months", "calls", "bill"]
    columns = make_column_transformer(numbers, (words, ["contract", "region"]))
    model = make_pipeline(columns, NetworkClassifier(class_weight="balanced", random_state=0))
    folds = cross_val_score(model, df, df.left, cv=StratifiedKFold(5), scoring="balanced_accuracy")
    (saved,) = joblib.dump(model.fit(df, df.left), Path(folder) / "customers.joblib")
    elsewhere = subprocess.check_output([sys.executable, "-c", PREDICT, saved, TABLE], text=True)
    return float(folds.mean()), elsewhere.split() == model.predict(df).tolist()


if __name__ == "__main__":
    print("balanced accuracy {:.3f}, predictions elsewhere equal: {}".format(*main(*sys.argv[1:])))
