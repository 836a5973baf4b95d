// Of org.json, enough to read golden.json.

package org.json

class JSONObject internal constructor(private val members: Map<String, Any?>) {
    @Suppress("UNCHECKED_CAST")
    constructor(text: String) : this(Parser(text).value() as Map<String, Any?>)

    fun getString(name: String) = members.getValue(name) as String

    fun getDouble(name: String) = members.getValue(name) as Double

    fun getJSONArray(name: String) = JSONArray(members.getValue(name) as List<*>)
}

class JSONArray internal constructor(private val items: List<*>) {
    fun length() = items.size

    fun getDouble(index: Int) = items[index] as Double

    @Suppress("UNCHECKED_CAST")
    fun getJSONObject(index: Int) = JSONObject(items[index] as Map<String, Any?>)
}

private class Parser(text: String) {
    // Strings without escapes, numbers, and the six signs of the structure.
    private val tokens = Regex("\"[^\"\\\\]*\"|[-+.eE0-9]+|[{}\\[\\]:,]")
        .findAll(text).map { it.value }.toList()
    private var next = 0

    fun value(): Any? = when (val token = tokens[next++]) {
        "{" -> members("}") { name() to value() }.toMap()
        "[" -> members("]") { value() }
        else -> if (token.startsWith("\"")) token.trim('"') else token.toDouble()
    }

    private fun name() = tokens[next].trim('"').also { next += 2 }

    private fun <T> members(end: String, member: () -> T): List<T> {
        val found = mutableListOf<T>()
        while (tokens[next] != end) {
            found += member()
            if (tokens[next] == ",") next++
        }
        next++
        return found
    }
}
