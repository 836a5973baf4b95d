package android.util

object Log {
    fun i(tag: String, message: String): Int = println("$tag: $message").let { 0 }
}
