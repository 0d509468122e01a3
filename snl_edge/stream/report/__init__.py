"""What a journal tells: shift reports, exports, pictures judged again."""
