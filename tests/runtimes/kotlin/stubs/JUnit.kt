package org.junit

import kotlin.math.abs

annotation class Test

object Assert {
    fun assertEquals(message: String, expected: Any?, actual: Any?) {
        if (expected != actual) throw AssertionError("$message: $actual, expected $expected")
    }

    fun assertArrayEquals(message: String, expected: FloatArray, actual: FloatArray, delta: Float) {
        assertEquals(message, expected.size, actual.size)
        for ((wanted, found) in expected zip actual) {
            if (!(abs(wanted - found) <= delta)) {
                throw AssertionError("$message: $found, expected $wanted")
            }
        }
    }
}
