// Of LiteRT's Kotlin API (2.3.0), the signatures that Classifier.kt uses. It runs no network: beside
// the file lie the images that LiteRT was fed elsewhere (.fed) and its answers (.answers), and
// anything but one of those images, bit for bit, is an error.

package com.google.ai.edge.litert

import android.content.res.AssetManager
import java.nio.ByteBuffer
import java.nio.ByteOrder

enum class Accelerator { NONE, CPU, GPU, NPU }

class TensorBuffer internal constructor(private val size: Int) : AutoCloseable {
    private var open = true
    private var content = FloatArray(size)

    fun writeFloat(data: FloatArray) {
        check(open && data.size == size) { "${data.size} numbers for a tensor of $size" }
        content = data.clone()
    }

    fun readFloat(): FloatArray {
        check(open) { "closed" }
        return content.clone()
    }

    override fun close() {
        open = false
    }
}

class CompiledModel private constructor(
    private val fed: List<FloatArray>,
    private val answers: List<FloatArray>,
) : AutoCloseable {
    private var open = true

    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(): List<TensorBuffer> = listOf(TensorBuffer(fed[0].size))

    fun createOutputBuffers(): List<TensorBuffer> = listOf(TensorBuffer(answers[0].size))

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>) {
        check(open) { "closed" }
        val image = inputs.single().readFloat()
        val known = fed.indexOfFirst { it.contentEquals(image) }
        check(known >= 0) { "fed what LiteRT was not fed: ${image.take(6)}" }
        outputs.single().writeFloat(answers[known])
    }

    override fun close() {
        open = false
    }

    companion object {
        fun create(assetManager: AssetManager, assetName: String, options: Options): CompiledModel {
            check(options.accelerators.isNotEmpty())
            assetManager.open(assetName).close()
            return CompiledModel(
                rows(assetManager, "$assetName.fed"),
                rows(assetManager, "$assetName.answers"),
            )
        }

        // The number of rows, then their numbers, all as little-endian float32.
        private fun rows(assets: AssetManager, name: String): List<FloatArray> {
            val bytes = assets.open(name).use { it.readBytes() }
            val numbers = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            val count = numbers.get().toInt()
            return List(count) { FloatArray((bytes.size / 4 - 1) / count).also(numbers::get) }
        }
    }
}
