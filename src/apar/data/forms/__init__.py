"""The forms in which records hold chats; `table` tells them by their keys and reads them."""
