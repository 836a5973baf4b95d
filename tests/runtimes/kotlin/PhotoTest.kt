package PACKAGE

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import androidx.test.platform.app.InstrumentationRegistry
import org.junit.Assert.assertEquals
import org.junit.Test

class PhotoTest {
    private val context = InstrumentationRegistry.getInstrumentation().targetContext
    private val small = context.assets.open("golden/00.png").use { checkNotNull(BitmapFactory.decodeStream(it)) }

    @Test
    fun largeHardwareBitmapsAreShrunkByMeans() {
        val (width, height) = small.width to small.height
        val colors = IntArray(width * height)
        small.getPixels(colors, 0, width, 0, 0, width, height)
        val large = IntArray(16 * width * height) { i ->
            colors[i / (4 * width) / 4 * width + i % (4 * width) / 4]
        }
        val photo = Bitmap(4 * width, 4 * height, Bitmap.Config.HARDWARE, large)
        Classifier(context).use {
            assertEquals("photo", it.classify(small), it.classify(photo))
        }
    }

    @Test
    fun theBestComesFirst() {
        Classifier(context).use {
            val all = it.classify(small, count = 99)
            assertEquals("all of them", it.labels.toSet(), all.map { one -> one.label }.toSet())
            assertEquals("sorted", all.sortedByDescending { one -> one.probability }, all)
            assertEquals("three by default", all.take(3), it.classify(small))
            val probabilities = it.probabilities(small)
            assertEquals("of the class", all.map { one -> probabilities[one.index] }, all.map { one -> one.probability })
        }
    }

    @Test
    fun closedIsClosed() {
        val classifier = Classifier(context)
        classifier.close()
        val failed = runCatching { classifier.classify(small) }.isFailure
        assertEquals("failed", true, failed)
    }
}
