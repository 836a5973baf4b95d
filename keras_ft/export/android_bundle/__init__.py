"""The folder an Android developer gets: file, code, proof and model card."""
